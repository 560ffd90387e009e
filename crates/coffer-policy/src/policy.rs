//! A policy, compiled: immutable, shared between threads, and ready to be asked.
//!
//! Pure. Invariant: it says the same as the document it was made of.

use crate::condition::Check;
use crate::context::Context;
use crate::document::{Document, Effect, Spelled, Statement, Version};
use crate::index::{ActionPlace, Index, Places, ResourcePlace, ResourcePlaces};
use crate::json::Position;
use crate::pattern::{self, Pattern, Syntax};
use crate::principal::{Principal, Principals, Reach};

/// A compiled policy, with a name for explanations.
#[derive(Debug)]
pub struct Policy {
    name: Box<str>,
    rules: Box<[Rule]>,
    index: Index,
}

/// One statement, compiled.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) effect: Effect,
    pub(crate) sid: Option<Box<str>>,
    pub(crate) position: Position,
    principals: Option<Principals>,
    actions: Choice,
    resources: Option<Choice>,
    pub(crate) checks: Box<[Check]>,
}

/// Patterns, one of which must match, or with `Not` none.
#[derive(Debug)]
struct Choice {
    is_negated: bool,
    patterns: Box<[Pattern]>,
}

/// What is asked, in the form that is compared: the action in lower case.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) principal: Principal<'a>,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) context: &'a dyn Context,
    pub(crate) has_boundary: bool,
}

/// Why a statement is not about a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// It is about other principals.
    Principal,
    /// It is about other actions.
    Action,
    /// It is about other resources.
    Resource,
    /// Its condition with this index does not hold.
    Condition(usize),
}

/// What a policy says to a request: the first statement that denies it, and the one that allows it with the closest reach.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Verdict {
    pub(crate) denied: Option<usize>,
    pub(crate) allowed: Option<(usize, Reach)>,
}

impl Policy {
    /// Compiles a document. The name is what explanations call the policy.
    pub fn compile(name: impl Into<Box<str>>, document: &Document) -> Self {
        let variables = document.version == Version::V2012;
        let rules: Box<[Rule]> =
            document.statements.iter().map(|statement| Rule::new(statement, variables)).collect();
        let places: Vec<Places<'_>> = rules.iter().map(Rule::places).collect();
        let index = Index::new(&places);
        drop(places);
        Self { name: name.into(), rules, index }
    }

    /// What explanations call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every condition key it may ask for, in lower case; a key that several statements look at comes several times.
    pub fn condition_keys(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().flat_map(Rule::keys)
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn verdict(&self, question: &Question<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        for at in self.index.candidates(question.action, question.resource) {
            let Some(rule) = self.rules.get(at) else { continue };
            // Nothing reaches further than the principal itself.
            let is_settled = rule.effect == Effect::Allow
                && verdict.allowed.is_some_and(|(_, reach)| reach == Reach::Itself);
            if is_settled {
                continue;
            }
            let Ok(reach) = rule.test(question) else { continue };
            match rule.effect {
                Effect::Deny => {
                    verdict.denied = Some(at);
                    return verdict;
                }
                Effect::Allow => {
                    if verdict.allowed.is_none_or(|(_, before)| reach > before) {
                        verdict.allowed = Some((at, reach));
                    }
                }
            }
        }
        verdict
    }
}

impl Rule {
    fn new(statement: &Statement, variables: bool) -> Self {
        let action = |spelled: &Spelled| {
            Pattern::parse(&spelled.text.to_ascii_lowercase(), Syntax { wildcards: true, variables: false })
        };
        let resource = |spelled: &Spelled| pattern::resource(&spelled.text, variables);
        let resources = statement.resources.as_ref().map(|listed| Choice {
            is_negated: listed.is_negated,
            patterns: listed.entries.iter().map(resource).collect(),
        });
        Self {
            effect: statement.effect,
            sid: statement.sid.as_ref().map(|sid| sid.text.as_str().into()),
            position: statement.position,
            principals: statement.principals.as_ref().map(Principals::new),
            actions: Choice {
                is_negated: statement.actions.is_negated,
                patterns: statement.actions.entries.iter().map(action).collect(),
            },
            resources,
            checks: statement.conditions.iter().map(|condition| Check::new(condition, variables)).collect(),
        }
    }

    fn places(&self) -> Places<'_> {
        let actions = match self.actions.is_negated {
            true => vec![ActionPlace::Everywhere],
            false => self.actions.patterns.iter().map(place_of).collect(),
        };
        let resources = match &self.resources {
            Some(resources) if !resources.is_negated => {
                resources.patterns.iter().map(resource_places).collect()
            }
            Some(_) | None => vec![ResourcePlaces::everywhere()],
        };
        Places { actions, resources }
    }

    /// How closely it means the principal, if it is about the request at all.
    pub(crate) fn test(&self, question: &Question<'_>) -> Result<Reach, Mismatch> {
        if !self.actions.holds(question.action, &()) {
            return Err(Mismatch::Action);
        }
        if let Some(resources) = &self.resources {
            // Nobody is allowed everything but their own because it is not known what is their own.
            let is_open = self.effect == Effect::Allow
                && resources.is_negated
                && resources.patterns.iter().any(|pattern| !pattern.is_resolved(question.context));
            if is_open || !resources.holds(question.resource, question.context) {
                return Err(Mismatch::Resource);
            }
        }
        let reach = match &self.principals {
            None => Reach::Itself,
            Some(principals) => principals
                .reach(self.effect, &question.principal, question.has_boundary)
                .ok_or(Mismatch::Principal)?,
        };
        match self.checks.iter().position(|check| !check.holds(self.effect, question.context)) {
            Some(failed) => Err(Mismatch::Condition(failed)),
            None => Ok(reach),
        }
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        let of_resources = self
            .resources
            .iter()
            .flat_map(|resources| resources.patterns.iter().flat_map(Pattern::variables));
        self.checks.iter().flat_map(Check::keys).chain(of_resources)
    }
}

fn place_of(pattern: &Pattern) -> ActionPlace<'_> {
    if let Some(name) = pattern.literal() {
        return ActionPlace::Action(name);
    }
    match pattern.literal_prefix().split_once(':') {
        Some((service, _)) => ActionPlace::Service(service),
        None => ActionPlace::Everywhere,
    }
}

pub(crate) fn resource_places(pattern: &Pattern) -> ResourcePlaces<'_> {
    let place = match pattern.literal_after_colons(5) {
        Some(tail) if !tail.is_empty() => ResourcePlace::Tail(tail),
        Some(_) | None => ResourcePlace::Head(pattern.literal_prefix()),
    };
    ResourcePlaces { place, literals: pattern.literals().collect() }
}

impl Choice {
    fn holds(&self, text: &str, context: &dyn Context) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(text, context)) != self.is_negated
    }
}
