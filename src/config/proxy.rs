//! Settings for people who come through a reverse proxy that knows who they are.

use std::net::IpAddr;
use std::str::FromStr;

use clap::Args;

use super::value::{self, Commas, List};
use crate::store::Role;

/// Everybody whom no other rule names.
const ANYBODY: &str = "*";

/// Whose word about people counts, and what they may do.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "People")]
pub struct ProxyConfig {
    /// Header in which a reverse proxy says who asks, such as `X-Forwarded-User`. It counts from --trust-peers
    /// alone. With it, programs on this machine need a token too, since the proxy may be there.
    #[arg(long, env = "PARSELOG_TRUST_HEADER", value_parser = header, value_name = "NAME")]
    pub trust_header: Option<String>,

    /// Addresses and networks of that proxy, such as `10.0.0.5` or `10.0.0.0/8`, separated by commas.
    #[arg(long, env = "PARSELOG_TRUST_PEERS", value_name = "PEER")]
    trust_peers: Vec<Commas<PeerNetwork>>,

    /// What the people of that proxy may, separated by commas: `ann=admin`, `bob=staff:tanf+ssp` (sees these
    /// programs alone), `*=staff` (everybody else).
    #[arg(long, env = "PARSELOG_PEOPLE", value_name = "WHO=ROLE")]
    people: Vec<Commas<PersonRule>>,
}

/// An address, or all that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerNetwork {
    address: IpAddr,
    bits: u32,
}

/// What one person may do, or everybody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRule {
    who: String,
    pub role: Role,
    /// The programs whose runs it may see; empty: all of them.
    pub programs: Vec<String>,
}

impl ProxyConfig {
    /// Whose header counts.
    pub fn trust_peers(&self) -> Vec<PeerNetwork> {
        List::join(&self.trust_peers)
    }

    /// What people may do.
    pub fn people(&self) -> Vec<PersonRule> {
        List::join(&self.people)
    }

    /// Why the settings make no sense together, if they don't.
    pub fn contradiction(&self) -> Option<&'static str> {
        let others = [self.trust_peers.is_empty(), self.people.is_empty()];
        match (&self.trust_header, others) {
            (Some(_), [false, false]) | (None, [true, true]) => None,
            (Some(_), _) => Some(
                "--trust-header needs --trust-peers (whose header counts) and --people (who may do what)",
            ),
            (None, _) => Some("--trust-peers and --people need --trust-header, which says who asks"),
        }
    }
}

impl PeerNetwork {
    /// Whether an address is in it.
    pub fn has(&self, address: IpAddr) -> bool {
        let (one, other, length) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let differs: u128 = one ^ other;
        // No shift by the whole width: it is an overflow.
        differs.checked_shr(length - self.bits).unwrap_or_default() == 0
    }
}

impl FromStr for PeerNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let read = || {
            let address: IpAddr = address.parse::<IpAddr>().ok()?.to_canonical();
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
            (bits <= most).then_some(Self { address, bits })
        };
        read().ok_or_else(|| {
            format!("'{text}': expected an address or a network such as 10.0.0.5 or 10.0.0.0/8")
        })
    }
}

impl PersonRule {
    /// The rule for somebody: its own, else that for everybody else.
    pub fn of<'a>(rules: &'a [Self], who: &str) -> Option<&'a Self> {
        rules.iter().find(|rule| rule.names(who)).or_else(|| rules.iter().find(|rule| rule.is_for_others()))
    }

    /// Whether it is for whoever is called so, and no rule for everybody else.
    pub fn names(&self, who: &str) -> bool {
        self.who == who && !self.is_for_others()
    }

    /// Whether it is for everybody whom no other rule names.
    pub fn is_for_others(&self) -> bool {
        self.who == ANYBODY
    }
}

impl FromStr for PersonRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            "expected WHO=ROLE with staff, operator or admin, such as ann=admin or bob=staff:tanf+ssp";
        let wrong = || format!("'{}': {expected}", text.trim());
        let (who, what) = text.trim().rsplit_once('=').ok_or_else(wrong)?;
        let (role, programs) = what.split_once(':').map_or((what, None), |(role, list)| (role, Some(list)));
        let programs: Vec<String> =
            programs.into_iter().flat_map(|list| list.split('+')).map(str::to_owned).collect();
        let role: Role = role.parse().map_err(|_| wrong())?;
        let fits = value::name(who).is_ok()
            && role != Role::Ingest
            && programs.iter().all(|program| value::name(program).is_ok())
            && (programs.is_empty() || role == Role::Staff);
        fits.then(|| Self { who: who.to_owned(), role, programs }).ok_or_else(wrong)
    }
}

/// Reads the name of a header.
fn header(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_ours =
        ["authorization", "cookie", "host", "origin"].iter().any(|name| text.eq_ignore_ascii_case(name));
    (fits && !is_ours).then(|| text.to_ascii_lowercase()).ok_or_else(|| {
        "expected the name of a header of the proxy's own, such as X-Forwarded-User".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_in_the_networks_that_are_named_and_in_no_other() {
        let has = |network: &str, address: &str| {
            network.parse::<PeerNetwork>().expect(network).has(address.parse().expect(address))
        };
        for (network, inside, outside) in [
            ("10.0.0.5", "10.0.0.5", "10.0.0.4"),
            ("10.0.0.5", "::ffff:10.0.0.5", "::5"),
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("192.168.1.128/25", "192.168.1.255", "192.168.1.127"),
            ("fd00::/8", "fdab::1", "fe80::1"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            assert!(has(network, inside) && !has(network, outside), "{network}");
        }
        assert!(has("0.0.0.0/0", "203.0.113.9") && !has("0.0.0.0/0", "2001:db8::1"));
        for wrong in ["", "10.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1", "proxy", "10.0.0.0/8/8"] {
            assert!(wrong.parse::<PeerNetwork>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_person_has_the_role_of_its_own_rule_else_that_of_everybody() {
        let rules: Vec<PersonRule> = ["ann@example.org=admin", "bob=staff:tanf+ssp", "*=staff"]
            .iter()
            .map(|rule| rule.parse().expect("a rule"))
            .collect();
        let of = |who| PersonRule::of(&rules, who).map(|rule| (rule.role, rule.programs.len()));
        assert_eq!(of("ann@example.org"), Some((Role::Admin, 0)));
        assert_eq!(
            (of("bob"), of("eve"), of("*")),
            (Some((Role::Staff, 2)), Some((Role::Staff, 0)), of("eve"))
        );
        assert_eq!(PersonRule::of(&rules[..2], "*"), None);
        for wrong in [
            "ann",
            "ann=",
            "=staff",
            "ann=root",
            "ann=ingest",
            "ann=admin:tanf",
            "ann=staff:",
            "ann=staff:a+",
        ] {
            assert!(wrong.parse::<PersonRule>().is_err(), "{wrong}");
        }
        assert!(header("X-Forwarded-User").is_ok() && header("Cookie").is_err() && header("x y").is_err());
    }
}
