//! Settings for people who sign in at a provider of OpenID Connect.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::SecretString;
use url::Url;

use super::proxy::PersonRule;
use super::value::{self, Commas, List, is_loopback};

/// The largest file with a secret.
const SECRET_SIZE: u64 = 4 << 10;

/// Where people sign in, and what they may do then.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sign-in")]
pub struct OidcConfig {
    /// Provider of OpenID Connect at which people sign in: its issuer, such as `https://id.example.org/realms/staff`,
    /// as its discovery document writes it. Register `/sign-in/done` of --site there. With it, programs on this
    /// machine need a token too, since a proxy may be there.
    #[arg(long, env = "PARSELOG_OIDC_ISSUER", value_parser = issuer, value_name = "URL")]
    oidc_issuer: Option<String>,

    /// The name by which the provider knows parselog: its client id.
    #[arg(long, env = "PARSELOG_OIDC_CLIENT", value_parser = value::name, value_name = "ID")]
    oidc_client: Option<String>,

    /// The client's secret. Everybody on this machine can read a flag: use the variable, or a file.
    #[arg(long, env = "PARSELOG_OIDC_SECRET", hide_env_values = true, value_parser = secret, value_name = "SECRET")]
    oidc_secret: Option<SecretString>,

    /// File that has the client's secret and nothing else.
    #[arg(long, env = "PARSELOG_OIDC_SECRET_FILE", value_name = "FILE")]
    oidc_secret_file: Option<PathBuf>,

    /// What to ask the provider for, separated by blanks. Some send groups only for a scope of their own.
    #[arg(long, env = "PARSELOG_OIDC_SCOPES", default_value = "openid profile email", value_parser = scopes, value_name = "SCOPES")]
    oidc_scopes: String,

    /// Claim of the ID token that names the person in the audit log.
    #[arg(long, env = "PARSELOG_OIDC_NAME_CLAIM", default_value = "preferred_username", value_parser = value::name, value_name = "CLAIM")]
    oidc_name_claim: String,

    /// Claim of the ID token that says what the person may do, a text or a list of texts: its name, or a path to it
    /// such as `/realm_access/roles`.
    #[arg(long, env = "PARSELOG_OIDC_ROLE_CLAIM", default_value = "roles", value_parser = value::name, value_name = "CLAIM")]
    oidc_role_claim: String,

    /// What its values allow, separated by commas: `logs-admin=admin`, `tanf-team=staff:tanf` (sees this program
    /// alone), `*=staff` (everybody else who has the claim). Whoever has none of them may do nothing.
    #[arg(long, env = "PARSELOG_OIDC_ROLES", value_name = "VALUE=ROLE")]
    oidc_roles: Vec<Commas<PersonRule>>,
}

/// A provider that is configured, and what its people may do.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    pub issuer: String,
    pub client: String,
    pub secret: SecretString,
    /// Separated by blanks; `openid` is one.
    pub scopes: String,
    pub name_claim: String,
    /// The name of a claim, or a JSON pointer.
    pub role_claim: String,
    pub roles: Vec<PersonRule>,
}

impl OidcConfig {
    /// The provider; `None` if none is set.
    ///
    /// # Errors
    /// The settings make no sense together, or the secret can't be read. The reason does not repeat it.
    pub fn settings(&self) -> Result<Option<OidcSettings>, String> {
        let roles = List::join(&self.oidc_roles);
        let has_secret = self.oidc_secret.is_some() || self.oidc_secret_file.is_some();
        let Some(issuer) = &self.oidc_issuer else {
            return match self.oidc_client.is_none() && !has_secret && roles.is_empty() {
                true => Ok(None),
                false => Err("the options --oidc-… need --oidc-issuer, where people sign in".to_owned()),
            };
        };
        let (Some(client), true, false) = (&self.oidc_client, has_secret, roles.is_empty()) else {
            return Err("--oidc-issuer needs --oidc-client, a secret (PARSELOG_OIDC_SECRET or --oidc-secret-file) and \
                        --oidc-roles (who may do what)"
                .to_owned());
        };
        let secret = match (&self.oidc_secret, &self.oidc_secret_file) {
            (Some(_), Some(_)) => {
                return Err("expected --oidc-secret or --oidc-secret-file, and not both".to_owned());
            }
            (Some(secret), None) => secret.clone(),
            (None, Some(path)) => read_secret(path)
                .map_err(|why| format!("failed to read --oidc-secret-file {}: {why}", path.display()))?,
            (None, None) => unreachable!("one of them was found above"),
        };
        Ok(Some(OidcSettings {
            issuer: issuer.clone(),
            client: client.clone(),
            secret,
            scopes: self.oidc_scopes.clone(),
            name_claim: self.oidc_name_claim.clone(),
            role_claim: self.oidc_role_claim.clone(),
            roles,
        }))
    }
}

/// Reads an issuer, as it is written: it is compared as a text.
fn issuer(text: &str) -> Result<String, String> {
    let text = text.trim();
    let url = Url::parse(text).ok().filter(|url| {
        let is_plain = url.username().is_empty() && url.password().is_none();
        is_plain && url.query().is_none() && url.fragment().is_none()
    });
    let fits = url.is_some_and(|url| match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(&url),
        _ => false,
    });
    fits.then(|| text.to_owned()).ok_or_else(|| {
        "expected https://HOST/PATH without query, or http on localhost alone: whoever is on the way could sign in \
         as anybody"
            .to_owned()
    })
}

/// Reads a secret. The error does not repeat it.
fn secret(text: &str) -> Result<SecretString, String> {
    let text = text.trim();
    let fits = !text.is_empty() && !text.contains(char::is_control);
    fits.then(|| text.to_owned().into())
        .ok_or_else(|| "expected the secret of a client on one line".to_owned())
}

fn read_secret(path: &Path) -> Result<SecretString, String> {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(SECRET_SIZE + 1).read_to_string(&mut text));
    file.map_err(|error| error.to_string())?;
    match text.len() as u64 > SECRET_SIZE {
        true => Err("it is too large for a secret".to_owned()),
        false => secret(&text),
    }
}

/// Reads scopes. Without `openid` there is no ID token.
fn scopes(text: &str) -> Result<String, String> {
    let all: Vec<&str> = text.split_whitespace().collect();
    let fits =
        all.contains(&"openid") && all.iter().all(|scope| scope.bytes().all(|byte| byte.is_ascii_graphic()));
    fits.then(|| all.join(" ")).ok_or_else(|| "expected scopes with openid among them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> OidcConfig {
        OidcConfig {
            oidc_issuer: Some("https://id.example.org".to_owned()),
            oidc_client: Some("parselog".to_owned()),
            oidc_secret: Some("s3cret".into()),
            oidc_secret_file: None,
            oidc_scopes: "openid".to_owned(),
            oidc_name_claim: "email".to_owned(),
            oidc_role_claim: "roles".to_owned(),
            oidc_roles: vec!["a=staff".parse().expect("a rule")],
        }
    }

    #[test]
    fn an_issuer_is_https_or_of_this_machine_and_stays_as_it_is_written() {
        for text in [
            "https://id.example.org/realms/a",
            "https://id.example.org/",
            "http://127.0.0.1:9/a",
            "http://[::1]:9",
        ] {
            assert_eq!(issuer(text).as_deref(), Ok(text));
        }
        for text in [
            "http://id.example.org",
            "http://localhost.example.org",
            "ftp://localhost",
            "https://user@id.example.org",
            "https://id.example.org/?a=b",
            "https://id.example.org/#a",
            "id.example.org",
        ] {
            assert!(issuer(text).is_err_and(|error| error.contains("expected https")), "{text}");
        }
        assert!(scopes("profile").is_err() && scopes(" openid  groups ").as_deref() == Ok("openid groups"));
    }

    #[test]
    fn a_provider_needs_a_client_a_secret_and_roles_and_shows_no_secret() {
        let whole = config();
        assert!(!format!("{whole:?}{:?}", whole.settings()).contains("s3cret"));
        assert!(matches!(whole.settings(), Ok(Some(_))));
        for lacking in [
            OidcConfig { oidc_issuer: None, ..config() },
            OidcConfig { oidc_client: None, ..config() },
            OidcConfig { oidc_secret: None, ..config() },
            OidcConfig { oidc_roles: Vec::new(), ..config() },
            OidcConfig { oidc_secret_file: Some("/dev/null".into()), ..config() },
            OidcConfig { oidc_secret: None, oidc_secret_file: Some("/dev/null".into()), ..config() },
            OidcConfig { oidc_secret: None, oidc_secret_file: Some("/dev/zero".into()), ..config() },
        ] {
            assert!(lacking.settings().is_err_and(|error| error.contains("--oidc-")), "{lacking:?}");
        }
    }
}
