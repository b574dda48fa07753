"""A provider of OpenID Connect for the tests: real requests, real keys, and on demand wrong answers.

provider.py PORT     prints its port when it listens, on loopback only

It signs everybody in at once. POST /behave takes JSON: `claims` of the next ID token, `algorithm` (RS256, PS256 or
ES256), and `fault`, one of those below. It checks what a provider has to check: client, redirect, PKCE, and that a
code is used once.
"""

import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CLIENT, SECRET = "parselog", "p%ss w/rd+ü"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Keys:
    """The keys of the provider; new ones have new ids."""

    def __init__(self):
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_hex(4)

    def document(self):
        public, curve = self.rsa.public_key().public_numbers(), self.ec.public_key().public_numbers()
        x, y = (b64(value.to_bytes(32, "big")) for value in (curve.x, curve.y))
        known = {"use": "sig", "kid": "r" + self.id, "kty": "RSA", "n": number(public.n), "e": number(public.e)}
        return [
            {"kty": "oct", "kid": "o", "k": b64(b"anybody knows it")},
            {"kty": "strange", "kid": "s"},
            known,
            {"use": "enc", "kid": "r" + self.id, "kty": "RSA", "n": number(public.n), "e": number(public.e)},
            {"use": "sig", "kid": "e" + self.id, "kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256"},
        ]

    def pem(self):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.rsa.public_key().public_bytes(serialization.Encoding.PEM, form)

    def sign(self, algorithm, text):
        if algorithm == "ES256":
            r, s = decode_dss_signature(self.ec.sign(text, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        scheme = padding.PKCS1v15()
        if algorithm == "PS256":
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        return self.rsa.sign(text, scheme, hashes.SHA256())


keys, strangers = Keys(), Keys()
behaviour = {"claims": {}, "algorithm": "RS256", "fault": ""}
codes, spent = {}, {}


def id_token(issuer, nonce):
    fault, algorithm = behaviour["fault"], behaviour["algorithm"]
    now = time.time()
    claims = {"iss": issuer, "aud": CLIENT, "sub": "42", "nonce": nonce, "iat": int(now), "exp": int(now) + 300}
    claims |= behaviour["claims"]
    header = {"typ": "JWT", "alg": algorithm, "kid": ("e" if algorithm == "ES256" else "r") + keys.id}
    wrong = {
        "nonce": {"nonce": secrets.token_hex(8)},
        "aud": {"aud": "another"},
        "auds": {"aud": [CLIENT, "another"]},
        "azp": {"azp": "another"},
        "iss": {"iss": "https://id.example.org"},
        "isss": {"iss": [issuer, "https://id.example.org"]},
        "expired": {"iat": int(now) - 7200, "exp": int(now) - 3600},
        "early": {"iat": int(now) + 3600, "exp": int(now) + 7200},
        "nbf": {"nbf": int(now) + 3600},
        "sub": {"sub": ""},
    }
    claims |= wrong.get(fault, {})
    if fault.startswith("no-"):
        del claims[fault[3:]]
    if fault == "kid":
        header["kid"] = "unknown"
    if fault == "crit":
        header |= {"crit": ["x"], "x": 1}
    if fault == "none":
        header["alg"] = "none"
    if fault in ("hs256", "oct"):
        header |= {"alg": "HS256"} | ({"kid": "o"} if fault == "oct" else {})
    if fault == "jwk":
        header |= {"jwk": strangers.document()[2], "kid": strangers.document()[2]["kid"]}
    text = ".".join(b64(json.dumps(part).encode()) for part in (header, claims)).encode()
    if fault == "none":
        signature = b""
    elif fault == "hs256":
        signature = hmac.digest(keys.pem(), text, "sha256")
    elif fault == "oct":
        signature = hmac.digest(b"anybody knows it", text, "sha256")
    elif fault in ("key", "jwk"):
        signature = strangers.sign(algorithm, text)
    else:
        signature = keys.sign(algorithm, text)
    if fault == "changed":
        claims["roles"] = ["admins", "ops"]
        text = text.split(b".")[0] + b"." + b64(json.dumps(claims).encode()).encode()
    return text.decode() + "." + b64(signature)


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, document, status=200, headers=()):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", len(body)), *headers):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def issuer(self):
        return f"http://127.0.0.1:{self.server.server_port}/realm"

    def do_GET(self):
        fault, issuer = behaviour["fault"], self.issuer()
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/realm/.well-known/openid-configuration":
            methods = ["client_secret_post"] if fault == "post" else ["client_secret_basic", "client_secret_post"]
            document = {
                "issuer": "https://id.example.org" if fault == "document" else issuer,
                "authorization_endpoint": issuer + "/authorize?realm=1",
                "token_endpoint": ("http://id.example.org" if fault == "endpoint" else issuer) + "/token",
                "jwks_uri": issuer + "/keys",
                "token_endpoint_auth_methods_supported": methods,
                "authorization_response_iss_parameter_supported": True,
            }
            if fault == "large":
                self.answer(b'{"x": "' + b"x" * (2 << 20) + b'"}')
            elif fault == "redirect":
                self.answer({}, 302, [("Location", issuer + "/elsewhere")])
            else:
                self.answer(b"<p>" if fault == "html" else document)
        elif url.path == "/realm/keys":
            self.answer({"keys": keys.document()})
        elif url.path == "/realm/authorize":
            asked = dict(urllib.parse.parse_qsl(url.query))
            wanted = {"client_id": CLIENT, "response_type": "code", "code_challenge_method": "S256", "realm": "1"}
            assert wanted.items() <= asked.items() and "openid" in asked["scope"].split(), asked
            code = secrets.token_hex(16)
            codes[code] = asked
            back = {"code": code, "state": asked["state"], "iss": issuer}
            if fault == "denied":
                back = {"error": "access_denied", "state": asked["state"], "iss": issuer}
            if fault == "answer-iss":
                back["iss"] = "https://id.example.org"
            if fault == "answer-no-iss":
                del back["iss"]
            location = asked["redirect_uri"] + "?" + urllib.parse.urlencode(back)
            self.answer({}, 302, [("Location", location)])
        else:
            self.answer({}, 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/behave":
            global keys
            behaviour.update({"claims": {}, "algorithm": "RS256", "fault": ""} | json.loads(body))
            if behaviour["fault"] == "rotate":
                keys = Keys()
            return self.answer({})
        sent = dict(urllib.parse.parse_qsl(body))
        if behaviour["fault"] == "post":
            client = (sent.get("client_id"), sent.get("client_secret"))
        else:
            kind, _, login = self.headers["Authorization"].partition(" ")
            assert kind == "Basic"
            client = tuple(map(urllib.parse.unquote_plus, base64.b64decode(login).decode().split(":")))
        if client != (CLIENT, SECRET):
            return self.answer({"error": "invalid_client"}, 401)
        code = sent.get("code")
        asked = codes.pop(code, None)
        if behaviour["fault"] == "careless":
            asked = asked or spent.get(code)
        challenge = b64(hashlib.sha256(sent.get("code_verifier", "").encode()).digest())
        fits = asked and sent.get("redirect_uri") == asked["redirect_uri"] and challenge == asked["code_challenge"]
        if not fits or sent.get("grant_type") != "authorization_code":
            return self.answer({"error": "invalid_grant"}, 400)
        spent[code] = asked
        if behaviour["fault"] == "failing":
            return self.answer(b"out of order", 500)
        answer = {"access_token": "a", "token_type": "Bearer", "expires_in": 300}
        if behaviour["fault"] != "token":
            answer["id_token"] = id_token(self.issuer(), asked["nonce"])
        self.answer(answer)


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Provider)
print(server.server_port, flush=True)
server.serve_forever()
