//! What is allowed by the grammar and still is, in all likelihood, not what was meant.
//!
//! Pure. A finding says where, what, and what to write instead; it never changes what a policy means. Actions and keys of other
//! services than Secrets Manager, KMS, IAM and STS are not judged.

use crate::catalog::{Action, CATALOG};
use crate::document::{Document, DocumentKind, Effect, PrincipalNameKind, Spelled, Statement, Version};
use crate::json::Position;
use crate::pattern::{self, Pattern, Syntax};

mod conditions;
mod sensitive;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// It could be said better.
    Note,
    /// It allows more than it seems to, or more than is wise.
    Warning,
    /// It does not do what it says.
    Error,
}

/// The kinds of findings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lint {
    /// No service has this prefix.
    UnknownService,
    /// The service has no such action, or none that the pattern matches.
    UnknownAction,
    /// There is no such condition key.
    UnknownKey,
    /// No request for these actions has the key.
    KeyOfOtherActions,
    /// The operator compares something else than the key holds.
    OperatorOfOtherType,
    /// A key that can have several values needs `ForAllValues:` or `ForAnyValue:`.
    ListWithoutQuantifier,
    /// `ForAllValues:` and `ForAnyValue:` over a key that has one value.
    QuantifierOverOne,
    /// `ForAllValues:` in a permission holds where the key is absent.
    ForAllHoldsWhenAbsent,
    /// `*` or `?` where they are characters like any other.
    WildcardIsText,
    /// `${` where it begins no variable.
    VariableIsText,
    /// The actions are not about such resources.
    NeverMatches,
    /// The action is about no resource, so that only `*` matches.
    NeedsEveryResource,
    /// A secret's ARN ends in six random characters.
    SecretSuffix,
    /// A `*` at the end of a secret's ARN matches longer names as well.
    WideSecretSuffix,
    /// Every action, or every action of a service.
    EveryAction,
    /// Every resource, for what is worth a narrower permission.
    EveryResource,
    /// Everybody, without a condition.
    Everybody,
    /// `NotAction` or `NotResource` in a permission allows whatever is added later.
    AllowsAllBut,
    /// A permission that should have a condition.
    MissingCondition,
    /// What another entry says already.
    Redundant,
}

impl Lint {
    /// Its name, such as `unknown-action`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownService => "unknown-service",
            Self::UnknownAction => "unknown-action",
            Self::UnknownKey => "unknown-key",
            Self::KeyOfOtherActions => "key-of-other-actions",
            Self::OperatorOfOtherType => "operator-of-other-type",
            Self::ListWithoutQuantifier => "list-without-quantifier",
            Self::QuantifierOverOne => "quantifier-over-one",
            Self::ForAllHoldsWhenAbsent => "for-all-holds-when-absent",
            Self::WildcardIsText => "wildcard-is-text",
            Self::VariableIsText => "variable-is-text",
            Self::NeverMatches => "never-matches",
            Self::NeedsEveryResource => "needs-every-resource",
            Self::SecretSuffix => "secret-suffix",
            Self::WideSecretSuffix => "wide-secret-suffix",
            Self::EveryAction => "every-action",
            Self::EveryResource => "every-resource",
            Self::Everybody => "everybody",
            Self::AllowsAllBut => "allows-all-but",
            Self::MissingCondition => "missing-condition",
            Self::Redundant => "redundant",
        }
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        match self {
            Self::UnknownService
            | Self::UnknownAction
            | Self::UnknownKey
            | Self::KeyOfOtherActions
            | Self::OperatorOfOtherType
            | Self::ListWithoutQuantifier
            | Self::WildcardIsText
            | Self::VariableIsText
            | Self::NeverMatches
            | Self::NeedsEveryResource
            | Self::SecretSuffix => Severity::Error,
            Self::ForAllHoldsWhenAbsent
            | Self::EveryAction
            | Self::EveryResource
            | Self::Everybody
            | Self::AllowsAllBut
            | Self::MissingCondition => Severity::Warning,
            Self::QuantifierOverOne | Self::WideSecretSuffix | Self::Redundant => Severity::Note,
        }
    }
}

/// Something to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Of which kind.
    pub lint: Lint,
    /// Where.
    pub position: Position,
    /// What.
    pub message: String,
    /// What to write instead.
    pub advice: String,
}

/// Looks a document over. Findings come in the order of the text.
pub fn lint(document: &Document) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    for statement in &document.statements {
        let actions = known_actions(statement);
        lint_actions(statement, &mut findings);
        lint_resources(document, statement, &actions, &mut findings);
        lint_principals(statement, &mut findings);
        conditions::lint(document, statement, &actions, &mut findings);
        sensitive::lint(document, statement, &mut findings);
    }
    findings.0.sort_by_key(|finding| (finding.position, finding.lint));
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, lint: Lint, at: Position, message: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Finding { lint, position: at, message: message.into(), advice: advice.into() });
    }
}

/// The actions a statement is about, of the services whose actions are known.
fn known_actions(statement: &Statement) -> Vec<&'static Action> {
    let patterns: Vec<Pattern> = statement.actions.entries.iter().map(action_pattern).collect();
    let services = ["secretsmanager", "kms", "iam", "sts"];
    let all = services.iter().flat_map(|service| CATALOG.actions_of(service));
    all.filter(|action| {
        let name = full_name(action);
        patterns.iter().any(|pattern| pattern.matches(&name, &())) != statement.actions.is_negated
    })
    .collect()
}

fn full_name(action: &Action) -> String {
    format!("{}:{}", action.service, action.name.to_ascii_lowercase())
}

fn action_pattern(action: &Spelled) -> Pattern {
    Pattern::parse(&action.text.to_ascii_lowercase(), Syntax { wildcards: true, variables: false })
}

/// The service an action names, in lower case; none for those of every service.
fn service_of(action: &Spelled) -> Option<String> {
    let (service, _) = action.text.split_once(':')?;
    (service != "*").then(|| service.to_ascii_lowercase())
}

fn lint_actions(statement: &Statement, findings: &mut Findings) {
    let actions = &statement.actions;
    let allows = statement.effect == Effect::Allow;
    if actions.is_negated && allows {
        findings.add(
            Lint::AllowsAllBut,
            actions.position,
            "`NotAction` allows every other action, those of new services included",
            "list what is needed in `Action`, or deny with `NotAction`",
        );
    }
    for (at, action) in actions.entries.iter().enumerate() {
        let mut others = actions.entries.iter().enumerate().filter(|(other, _)| *other != at);
        let lower = action.text.to_ascii_lowercase();
        // Of two that say the same the second is too many.
        let covering = others.find(|(other, entry)| {
            let is_same = entry.text.eq_ignore_ascii_case(&action.text);
            !is_same && !lower.contains(['*', '?']) && action_pattern(entry).matches(&lower, &())
                || is_same && *other < at
        });
        if let Some((_, covering)) = covering {
            let message = format!("`{}` is among `{}`", action.text, covering.text);
            findings.add(Lint::Redundant, action.position, message, "leave one of them out");
        }
        if allows && !actions.is_negated && matches!(lower.rsplit(':').next(), Some("*")) {
            let what = match service_of(action) {
                None => "every action of every service".to_owned(),
                Some(service) => format!("every action of {service}"),
            };
            let message = format!("`{}` allows {what}", action.text);
            findings.add(Lint::EveryAction, action.position, message, "list the actions that are needed");
        }
        let Some(service) = service_of(action) else { continue };
        if !CATALOG.has_service(&service) {
            let message = format!("no service has the prefix `{service}`");
            let advice = match nearest(&service, ["secretsmanager", "kms", "iam", "sts"]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "look it up in AWS's Service Authorization Reference".into(),
            };
            findings.add(Lint::UnknownService, action.position, message, advice);
            continue;
        }
        let pattern = action_pattern(action);
        let is_known = CATALOG.actions_of(&service).any(|known| pattern.matches(&full_name(known), &()));
        if CATALOG.knows(&service) && !is_known {
            let name = action.text.split_once(':').map_or("", |(_, name)| name);
            let message = match lower.contains(['*', '?']) {
                true => format!("no action of {service} is like `{name}`"),
                false => format!("{service} has no action `{name}`"),
            };
            let advice = match nearest(name, CATALOG.actions_of(&service).map(|known| known.name)) {
                Some(near) => format!("did you mean `{service}:{near}`?"),
                None => "look it up in AWS's Service Authorization Reference".into(),
            };
            findings.add(Lint::UnknownAction, action.position, message, advice);
        }
    }
}

fn lint_resources(document: &Document, statement: &Statement, actions: &[&Action], findings: &mut Findings) {
    let Some(resources) = &statement.resources else { return };
    if resources.is_negated && statement.effect == Effect::Allow {
        findings.add(
            Lint::AllowsAllBut,
            resources.position,
            "`NotResource` allows every other resource, also those that are made later",
            "list what is needed in `Resource`, or deny with `NotResource`",
        );
    }
    let names_services = statement.actions.entries.iter().all(|action| service_of(action).is_some());
    let services: Vec<String> = statement.actions.entries.iter().filter_map(service_of).collect();
    for resource in &resources.entries {
        variable_is_text(document, resource, findings);
        let parts = pattern::split_arn(&resource.text);
        let part = |at: usize| parts.get(at).copied().unwrap_or_default();
        let service = part(2);
        let is_plain = !service.is_empty() && !service.contains(['*', '?', '$']);
        let is_about_other = is_plain && !services.iter().any(|of| has_resources_of(of, service));
        if names_services && !statement.actions.is_negated && !resources.is_negated && is_about_other {
            let message = format!("none of the actions is about resources of {service}");
            findings.add(
                Lint::NeverMatches,
                resource.position,
                message,
                "name the actions and their resources together",
            );
            continue;
        }
        if service == "secretsmanager" && parts.len() == 6 {
            lint_secret(resource, part(5), actions, findings);
        }
        lint_region_and_account(resource, service, part(3), part(4), findings);
    }
    let about_some = resources.entries.iter().all(|resource| resource.text != "*");
    let without: Vec<&str> =
        actions.iter().filter(|action| !action.has_resources).map(|action| action.name).collect();
    if about_some && !resources.is_negated && !statement.actions.is_negated {
        for action in &statement.actions.entries {
            let pattern = action_pattern(action);
            let is_exact = pattern.literal().is_some();
            let named = actions
                .iter()
                .find(|known| is_exact && !known.has_resources && pattern.matches(&full_name(known), &()));
            if let Some(known) = named {
                let message = format!("`{}` is about no resource: here it matches nothing", known.name);
                let advice = "give it a statement of its own, with \"Resource\": \"*\"";
                findings.add(Lint::NeedsEveryResource, action.position, message, advice);
            }
        }
    }
    if !about_some
        && statement.effect == Effect::Allow
        && without.len() < actions.len()
        && statement.conditions.is_empty()
    {
        sensitive::every_resource(statement, actions, findings);
    }
}

/// Whether actions of a service are about resources of another: sessions are of IAM's roles and users.
fn has_resources_of(actions: &str, resource: &str) -> bool {
    actions == resource || (actions, resource) == ("sts", "iam")
}

/// Services have resources with a region and an account, or without.
fn lint_region_and_account(
    resource: &Spelled,
    service: &str,
    region: &str,
    account: &str,
    findings: &mut Findings,
) {
    let has_both = matches!(service, "secretsmanager" | "kms");
    let has_account = has_both || matches!(service, "iam" | "sts");
    if has_both && region.is_empty() && pattern::split_arn(&resource.text).len() == 6 {
        let message = format!("a resource of {service} has a region in its ARN: this matches nothing");
        findings.add(Lint::NeverMatches, resource.position, message, "write the region, or * for all");
    } else if has_account && account.is_empty() && pattern::split_arn(&resource.text).len() == 6 {
        let message = format!("a resource of {service} has an account in its ARN: this matches nothing");
        findings.add(Lint::NeverMatches, resource.position, message, "write the account's 12 digits");
    }
}

/// A secret's ARN ends in a hyphen and six characters that are made when it is created.
fn lint_secret(resource: &Spelled, name: &str, actions: &[&Action], findings: &mut Findings) {
    let Some(name) = name.strip_prefix("secret:") else {
        if !name.contains(['*', '?', '$']) {
            let message = format!("`{name}` is no resource of secretsmanager");
            findings.add(
                Lint::NeverMatches,
                resource.position,
                message,
                "write secret: and the secret's name",
            );
        }
        return;
    };
    // Before it is created a secret is named without the six.
    let creates = |action: &&Action| matches!(action.name, "CreateSecret" | "TagResource");
    let is_for_creation =
        actions.iter().any(|action| action.name == "CreateSecret") && actions.iter().all(creates);
    if is_for_creation || name.is_empty() {
        return;
    }
    let tail: Vec<char> = name.chars().rev().take(7).collect();
    let is_suffix_like = |character: &char| character.is_ascii_alphanumeric() || *character == '?';
    let has_suffix = tail.len() == 7 && tail.last() == Some(&'-') && tail.iter().take(6).all(is_suffix_like);
    if name.ends_with('*') {
        let before = name.trim_end_matches('*');
        if !before.is_empty()
            && !before.ends_with('/')
            && !before.ends_with('-')
            && !before.contains(['*', '?'])
        {
            let message = format!("`{name}` also matches secrets whose names only begin with `{before}`");
            let advice = format!("write {before}-?????? for the one secret");
            findings.add(Lint::WideSecretSuffix, resource.position, message, advice);
        }
    } else if !has_suffix && !name.ends_with('}') {
        let message =
            format!("`{name}` matches no secret that exists: its ARN ends in - and six random characters");
        let advice = format!("write {}-??????", resource.text);
        findings.add(Lint::SecretSuffix, resource.position, message, advice);
    }
}

fn lint_principals(statement: &Statement, findings: &mut Findings) {
    let Some(principals) = &statement.principals else { return };
    let everybody = principals.entries.iter().find(|name| name.kind == PrincipalNameKind::Everybody);
    let Some(everybody) = everybody else {
        if principals.is_negated && statement.effect == Effect::Allow {
            findings.add(
                Lint::AllowsAllBut,
                principals.position,
                "`NotPrincipal` allows everybody else, anonymous callers included",
                "list who needs it in `Principal`",
            );
        }
        return;
    };
    if statement.effect == Effect::Allow && !principals.is_negated && statement.conditions.is_empty() {
        findings.add(
            Lint::Everybody,
            everybody.name.position,
            "everybody is allowed, of every account",
            "name accounts, users or roles, or add a condition such as aws:PrincipalOrgID",
        );
    }
}

/// `${` that is no variable: malformed, or in a document of the older version.
fn variable_is_text(document: &Document, spelled: &Spelled, findings: &mut Findings) {
    let Some((_, rest)) = spelled.text.split_once("${") else { return };
    let beginnings = spelled.text.match_indices("${").filter_map(|(at, _)| spelled.text.get(at..));
    if document.version == Version::V2008 {
        let message = format!(
            "`${{{}` is no variable in this version of the language",
            rest.split('}').next().unwrap_or(rest)
        );
        findings.add(Lint::VariableIsText, spelled.position, message, "write \"Version\": \"2012-10-17\"");
    } else if beginnings.into_iter().any(|beginning| !pattern::begins_with_variable(beginning)) {
        let message = format!("`{}` has a `${{` that begins no variable", spelled.text);
        let advice = "write ${key}, or ${key, 'default'}, with the whole name of a condition key";
        findings.add(Lint::VariableIsText, spelled.position, message, advice);
    }
}

/// The name that is most like another, if one is much like it.
fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = wanted.to_lowercase().chars().take(64).collect();
    let near = names.into_iter().map(|name| (distance(&wanted, name), name)).min()?;
    (near.0 <= 1 + wanted.len() / 4).then_some(near.1)
}

/// How many characters must be put in, taken out or changed.
fn distance(wanted: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=wanted.len()).collect();
    for (at, character) in name.to_lowercase().chars().enumerate() {
        let mut next = vec![at + 1];
        for (column, other) in wanted.iter().enumerate() {
            let above = row.get(column + 1).copied().unwrap_or_default() + 1;
            let left = next.last().copied().unwrap_or_default() + 1;
            let diagonal = row.get(column).copied().unwrap_or_default() + usize::from(*other != character);
            next.push(above.min(left).min(diagonal));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Whether a document of this kind is about who may become a role.
fn is_trust(document: &Document) -> bool {
    document.kind == DocumentKind::Trust
}
