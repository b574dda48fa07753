"""The mail server of the tests: aiosmtpd, which keeps every mail in a Maildir.

smtp.py FOLDER PORT plain|smtps|starttls     prints its port when it listens, on loopback only

With TLS it makes a certificate for itself, FOLDER/cert.pem, and asks for a login. It refuses addresses
that begin with `refused`, and those that begin with `later` for the moment. After a mail to an address
that begins with `silent` it hangs up without a word.
"""

import asyncio
import datetime
import ipaddress
import ssl
import sys
import warnings

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, AuthResult

# That a login is asked for inside TLS from the first byte on, aiosmtpd takes for none.
warnings.simplefilter("ignore")
folder, port, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]


class Post(Mailbox):
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return f"550 5.1.1 <{address}> is unknown here"
        if address.startswith("later"):
            return "451 4.2.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        answer = await super().handle_DATA(server, session, envelope)
        if envelope.rcpt_tos[0].startswith("silent"):
            server.transport.abort()
        return answer


def certified():
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    with open(folder + "/key.pem", "wb") as out:
        form = serialization.PrivateFormat.PKCS8
        out.write(key.private_bytes(pem, form, serialization.NoEncryption()))
    with open(folder + "/cert.pem", "wb") as out:
        out.write(certificate.public_bytes(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
    return context


def login(server, session, envelope, mechanism, data):
    right = (data.login, data.password) == (b"parselog", b"p%ss/w@rd")
    return AuthResult(success=right, handled=False)


async def serve():
    tls = None if mode == "plain" else certified()
    options = {}
    if tls:
        options = {"authenticator": login, "auth_required": True, "auth_require_tls": mode == "starttls"}
    if mode == "starttls":
        options |= {"tls_context": tls, "require_starttls": True}
    post = Post(folder + "/mail")
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(post, hostname="mail.test", **options),
        "127.0.0.1",
        port,
        ssl=tls if mode == "smtps" else None,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
