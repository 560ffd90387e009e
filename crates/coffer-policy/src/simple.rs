//! Statements as values, without conditions: what the gate decided by before it had documents.
//!
//! Pure. It goes when the gate has moved to compiled policies.

use serde::{Deserialize, Serialize};

/// Whether a statement allows or denies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// Allows what no statement denies.
    Allow,
    /// Denies, whatever else allows.
    Deny,
}

/// One statement of an identity-based policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// Its `Sid`, to name it in an explanation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// The actions it is about, such as `secretsmanager:Get*`. Case does not count.
    pub actions: Vec<Pattern>,
    /// The resources it is about, as ARN patterns. Case counts.
    pub resources: Vec<Pattern>,
}

/// A question: may this be done to that?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// The action, such as `secretsmanager:GetSecretValue`.
    pub action: &'a str,
    /// The resource: an ARN, a name that has none yet, or `*` for actions on no resource.
    pub resource: &'a str,
}

/// The answer, with the statement that led to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Allowed by the statement with this index.
    Allowed {
        /// Which statement.
        statement: usize,
    },
    /// Denied by the statement with this index, whatever others say.
    ExplicitlyDenied {
        /// Which statement.
        statement: usize,
    },
    /// No statement speaks for it.
    NotAllowed,
}

impl Statement {
    /// A statement that allows everything: an administrator's.
    pub fn allow_everything() -> Self {
        Self {
            sid: Some("AdministratorAccess".into()),
            effect: Effect::Allow,
            actions: vec![Pattern::any()],
            resources: vec![Pattern::any()],
        }
    }

    fn speaks_of(&self, request: &Request<'_>) -> bool {
        self.actions.iter().any(|pattern| pattern.matches_ignoring_case(request.action))
            && self.resources.iter().any(|pattern| pattern.matches(request.resource))
    }
}

/// Decides a request by the statements of all policies attached to the caller.
pub fn decide<'a>(statements: impl IntoIterator<Item = &'a Statement>, request: &Request<'_>) -> Decision {
    let mut decision = Decision::NotAllowed;
    for (index, statement) in statements.into_iter().enumerate() {
        if !statement.speaks_of(request) {
            continue;
        }
        match statement.effect {
            Effect::Deny => return Decision::ExplicitlyDenied { statement: index },
            Effect::Allow if decision == Decision::NotAllowed => {
                decision = Decision::Allowed { statement: index }
            }
            Effect::Allow => {}
        }
    }
    decision
}

/// A pattern over actions or resources.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern as written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// `*`.
    pub fn any() -> Self {
        Self::new("*")
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes(), |a, b| a == b)
    }

    /// Whether the whole of `text` matches, whatever the case of its ASCII letters.
    pub fn matches_ignoring_case(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes(), |a, b| a.eq_ignore_ascii_case(&b))
    }
}

/// Matches greedily and goes back to the last `*` only, so that the time is at most pattern × text, without
/// recursion. `?` stands for one character, also one of several bytes.
fn glob(pattern: &[u8], text: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut resume: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        match pattern.get(p) {
            // Nothing stands in the way of the rest.
            Some(b'*') if p + 1 == pattern.len() => return true,
            Some(b'*') => {
                resume = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                t = next_character(text, t);
            }
            Some(&expected) if same(expected, byte) => {
                p += 1;
                t += 1;
            }
            _ => match resume {
                Some((after_star, from)) => {
                    p = after_star;
                    t = next_character(text, from);
                    resume = Some((after_star, t));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

fn next_character(text: &[u8], at: usize) -> usize {
    let continuation = text.iter().skip(at + 1).take_while(|&&byte| byte & 0xc0 == 0x80).count();
    at + 1 + continuation
}
