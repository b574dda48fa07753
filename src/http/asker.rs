//! Who asks: a name, a role, and how both were shown. Handlers get it as `Extension<Asker>`.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::state::ServerState;
use crate::config::PersonRule;
use crate::store::{Role, Token, WebSession};

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    name: Arc<str>,
    /// The programs whose runs it sees; empty: all of them.
    programs: Arc<[String]>,
    credential: Credential,
    peer: IpAddr,
}

/// How somebody shows who it is.
#[derive(Debug, Clone)]
enum Credential {
    /// Nobody asked for any.
    Nothing,
    /// By being on this machine, where programs need nothing else.
    Local,
    Token(Arc<Token>),
    Session(Arc<WebSession>),
    /// By a proxy's word.
    Proxy(Role),
}

impl Asker {
    /// Whoever asks for what is told to everybody.
    pub(super) fn anybody(peer: IpAddr) -> Self {
        Self::new("anybody", &[], Credential::Nothing, peer)
    }

    /// A program on this machine.
    pub(super) fn local(peer: IpAddr) -> Self {
        Self::new("local", &[], Credential::Local, peer)
    }

    /// The holder of a token.
    pub(super) fn with_token(token: Arc<Token>, peer: IpAddr) -> Self {
        let (name, programs) = (format!("token {}", token.name), token.programs.clone());
        Self::new(&name, &programs, Credential::Token(token), peer)
    }

    /// A person with a session.
    pub(super) fn with_session(session: Arc<WebSession>, peer: IpAddr) -> Self {
        let (name, programs) = (session.name.clone(), session.programs.clone());
        Self::new(&name, &programs, Credential::Session(session), peer)
    }

    /// A person whom the proxy at `peer` names.
    pub(super) fn through_proxy(name: &str, rule: &PersonRule, peer: IpAddr) -> Self {
        Self::new(name, &rule.programs, Credential::Proxy(rule.role), peer)
    }

    fn new(name: &str, programs: &[String], credential: Credential, peer: IpAddr) -> Self {
        Self { name: name.into(), programs: programs.into(), credential, peer }
    }

    /// The name, for rows and the audit log.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The role, if it has one of its own.
    pub(super) fn role(&self) -> Option<Role> {
        match &self.credential {
            Credential::Nothing | Credential::Local => None,
            Credential::Token(token) => Some(token.role),
            Credential::Session(session) => Some(session.role),
            Credential::Proxy(role) => Some(*role),
        }
    }

    /// Its session, if it has one.
    pub(super) fn session(&self) -> Option<&WebSession> {
        match &self.credential {
            Credential::Session(session) => Some(session),
            _ => None,
        }
    }

    /// Whether it may do what needs this role. A program on this machine may send and read.
    pub(super) fn may(&self, needed: Role) -> bool {
        match (&self.credential, self.role()) {
            (Credential::Local, _) => needed <= Role::Staff,
            (_, role) => role.is_some_and(|role| role.covers(needed)),
        }
    }

    /// The programs whose runs it sees; empty: all of them. For queries that list runs.
    pub(super) fn programs(&self) -> &[String] {
        &self.programs
    }

    /// Whether it may see the runs of this program, their files and their logs.
    pub(super) fn may_read(&self, program: &str) -> bool {
        self.programs.is_empty() || self.programs.iter().any(|its| its == program)
    }

    /// Whether it may see the streams of services, which hold records of every program.
    pub(super) fn may_read_streams(&self) -> bool {
        self.programs.is_empty()
    }

    /// The streams that it may send to; empty: all of them.
    pub(super) fn streams(&self) -> &[String] {
        match &self.credential {
            Credential::Token(token) => &token.streams,
            _ => &[],
        }
    }

    /// Whether it still may ask: what it showed can be revoked, or end, meanwhile. Whoever follows a log asks again
    /// and again.
    pub(super) fn is_known(&self, state: &ServerState) -> bool {
        match &self.credential {
            Credential::Token(token) => state.access.tokens.has(token),
            Credential::Session(session) => state.access.sessions.has(session),
            Credential::Nothing | Credential::Local | Credential::Proxy(_) => true,
        }
    }

    /// How it showed who it is, for the audit log.
    pub(super) fn how(&self) -> String {
        let how = match &self.credential {
            Credential::Nothing | Credential::Local => String::new(),
            Credential::Token(token) => format!("with token {} ", token.id),
            Credential::Session(session) => format!("in session {} ", session.id),
            Credential::Proxy(_) => "by the word of the proxy ".to_owned(),
        };
        format!("{how}from {}", self.peer)
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_of_some_programs_sees_no_others_and_no_streams() {
        let peer = IpAddr::from([127, 0, 0, 1]);
        let bound = Asker::new("ann", &["tanf".to_owned(), "ssp".to_owned()], Credential::Nothing, peer);
        assert!(bound.may_read("tanf") && bound.may_read("ssp"));
        assert!(!bound.may_read("fra") && !bound.may_read("") && !bound.may_read("TANF"));
        assert!(!bound.may_read_streams());
        let all = Asker::local(peer);
        assert!(all.may_read("fra") && all.may_read_streams());
    }

    #[test]
    fn a_program_on_this_machine_sends_and_reads_and_anybody_does_nothing() {
        let peer = IpAddr::from([127, 0, 0, 1]);
        let may = |asker: &Asker| Role::ALL.iter().map(|role| asker.may(*role)).collect::<Vec<_>>();
        assert_eq!(may(&Asker::local(peer)), [true, true, false, false]);
        assert_eq!(may(&Asker::anybody(peer)), [false; 4]);
    }
}
