//! Who a person is and what it may do, by the claims of its ID token and the settings.

use serde_json::Value;

use super::OidcError;
use super::token::TokenClaims;
use crate::config::{OidcSettings, PersonRule, name};
use crate::store::Role;

/// Somebody who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// As the audit log names it.
    pub name: String,
    /// As the provider knows it, whatever it is called.
    pub subject: String,
    pub role: Role,
    /// The programs whose runs it may see; empty: all of them.
    pub programs: Vec<String>,
}

/// Who it is.
///
/// # Errors
/// A claim is missing or not as it must be, or its values allow nothing.
pub(super) fn read(claims: &TokenClaims, settings: &OidcSettings) -> Result<SignedIn, OidcError> {
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
    let no_access = |why: String| OidcError::NoAccess(format!("{}: {why}", subject.escape_debug()));
    let (name_claim, role_claim) = (&settings.name_claim, &settings.role_claim);
    let its_name = claim(claims, name_claim).and_then(Value::as_str).and_then(|text| name(text).ok());
    let its_name = its_name.ok_or_else(|| {
        no_access(format!("the claim {name_claim} is not a name without blanks: see --oidc-name-claim"))
    })?;
    // Some providers write it as a text, and some never say it.
    let is_true = |value: &Value| value.as_bool() == Some(true) || value.as_str() == Some("true");
    if name_claim == "email" && !claims.get("email_verified").is_none_or(is_true) {
        return Err(no_access("the provider did not verify its address".to_owned()));
    }
    let values = claim(claims, role_claim).and_then(texts).ok_or_else(|| {
        no_access(format!("the claim {role_claim} is not a text or a list of texts: see --oidc-role-claim"))
    })?;
    let (role, programs) = allowed(&settings.roles, &values)
        .ok_or_else(|| no_access(format!("no value of its claim {role_claim} is in --oidc-roles")))?;
    Ok(SignedIn { name: its_name, subject, role, programs })
}

/// A claim by its name, or by the path to it.
fn claim<'c>(claims: &'c TokenClaims, path: &str) -> Option<&'c Value> {
    let Some(inner) = path.strip_prefix('/') else { return claims.get(path) };
    let (first, rest) = inner.split_once('/').map_or((inner, None), |(first, rest)| (first, Some(rest)));
    let value = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
    rest.map_or(Some(value), |rest| value.pointer(&format!("/{rest}")))
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(values) => values.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The highest role of all values, and of those that give it the programs together.
fn allowed(rules: &[PersonRule], values: &[&str]) -> Option<(Role, Vec<String>)> {
    let named = |rule: &&PersonRule| values.iter().any(|value| rule.names(value));
    let mut its: Vec<&PersonRule> = rules.iter().filter(named).collect();
    if its.is_empty() {
        its.extend(rules.iter().filter(|rule| rule.is_for_others()));
    }
    let role = its.iter().map(|rule| rule.role).max()?;
    its.retain(|rule| rule.role == role);
    if its.iter().any(|rule| rule.programs.is_empty()) {
        return Some((role, Vec::new()));
    }
    let mut programs: Vec<String> = its.iter().flat_map(|rule| rule.programs.iter().cloned()).collect();
    programs.sort_unstable();
    programs.dedup();
    Some((role, programs))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(roles: &[&str], role_claim: &str) -> OidcSettings {
        OidcSettings {
            issuer: "https://id.example.org".to_owned(),
            client: "parselog".to_owned(),
            secret: "s3cret".into(),
            scopes: "openid".to_owned(),
            name_claim: "preferred_username".to_owned(),
            role_claim: role_claim.to_owned(),
            roles: roles.iter().map(|rule| rule.parse().expect("a rule")).collect(),
        }
    }

    fn seen(claims: Value, settings: &OidcSettings) -> Option<(Role, Vec<String>)> {
        let Value::Object(mut claims) = claims else { panic!("no claims") };
        claims.insert("sub".to_owned(), json!("7"));
        claims.entry("preferred_username").or_insert(json!("ann"));
        let signed_in = read(&claims, settings).ok()?;
        assert_eq!((signed_in.name.as_str(), signed_in.subject.as_str()), ("ann", "7"));
        Some((signed_in.role, signed_in.programs))
    }

    #[test]
    fn the_highest_role_of_all_values_counts_and_programs_add_up() {
        let rules =
            ["admins=admin", "/tanf=staff:tanf", "/both=staff:ssp+tanf", "/all=staff", "ops=operator"];
        let settings = settings(&rules, "roles");
        let all = Vec::new();
        for (roles, expected) in [
            (json!("admins"), Some((Role::Admin, all.clone()))),
            (json!(["x", "ops", "/tanf"]), Some((Role::Operator, all.clone()))),
            (json!(["/tanf"]), Some((Role::Staff, vec!["tanf".to_owned()]))),
            (json!(["/both", "/tanf"]), Some((Role::Staff, vec!["ssp".to_owned(), "tanf".to_owned()]))),
            (json!(["/tanf", "/all"]), Some((Role::Staff, all.clone()))),
            (json!(["x"]), None),
            (json!([]), None),
            (json!(""), None),
            (json!("*"), None),
            (json!(["admins", 7]), None),
            (json!({"admins": true}), None),
            (Value::Null, None),
        ] {
            assert_eq!(seen(json!({"roles": roles}), &settings), expected, "{roles}");
        }
        assert_eq!(seen(json!({"groups": ["admins"]}), &settings), None, "another claim");
    }

    #[test]
    fn an_address_that_the_provider_did_not_verify_names_nobody() {
        let settings = OidcSettings { name_claim: "email".to_owned(), ..settings(&["a=staff"], "roles") };
        let is_named = |verified: Value| {
            let claims =
                json!({"sub": "7", "roles": "a", "email": "ann@example.org", "email_verified": verified});
            read(claims.as_object().expect("claims"), &settings).is_ok()
        };
        assert!(is_named(json!(true)) && is_named(json!("true")));
        for other in [json!(false), json!("false"), json!(0), Value::Null] {
            assert!(!is_named(other.clone()), "{other}");
        }
    }

    #[test]
    fn whoever_no_rule_names_has_the_role_of_others_if_it_has_the_claim() {
        let open = settings(&["admins=admin", "*=staff:tanf"], "/realm_access/roles");
        let roles = |roles: Value| json!({"realm_access": {"roles": roles}});
        assert_eq!(seen(roles(json!(["x"])), &open), Some((Role::Staff, vec!["tanf".to_owned()])));
        assert_eq!(seen(roles(json!(["x", "admins"])), &open), Some((Role::Admin, Vec::new())));
        assert_eq!(seen(json!({}), &open), None);
        assert_eq!(seen(json!({"/realm_access/roles": "admins"}), &open), None);
        let named = settings(&["a=staff"], "https://example.org/roles");
        assert!(seen(json!({"https://example.org/roles": "a"}), &named).is_some());
        for wrong in [json!("ann smith"), json!(7), json!(""), Value::Null] {
            assert_eq!(seen(json!({"roles": "a", "preferred_username": wrong}), &named), None);
        }
    }
}
