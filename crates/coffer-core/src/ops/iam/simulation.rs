//! What policies would answer, tried without doing anything: the policy simulator, and which keys it has to be told.
//!
//! Pure. The engine that decides here is the gate's; what a request says of itself is what the caller says it would, and nothing
//! else, as on AWS. Invariant: a page takes a bounded time, however long the policies are.

use std::collections::BTreeSet;
use std::sync::Arc;

use coffer_audit::Members;
use coffer_policy::{
    ContextMap, Decision, Document, DocumentKind, Effect, Explanation, Policies, Policy, PolicyKind,
    Position, Principal, Request, ResourcePolicy, explain,
};

use super::directory::{About, Directory, DirectoryOperation, Kind, Through, paginate};
use super::{Page, Paged, aws_policies};
use crate::error::IamError;
use crate::gate::OperationName;
use crate::records::access::{self, Entity};
use crate::transaction::Transaction;
use crate::{Context, Error};

/// Most characters that a page compares: for each result those of the policies, their variables filled in, with those of the longest
/// text that they are asked about, or of all values of the longest list, which patterns full of wildcards take.
const PAGE_COMPARISONS_MAX: usize = 100_000_000;

/// What is tried: every action on every resource.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    /// Policies as if the caller had them too.
    pub policies: Vec<String>,
    /// A permissions boundary in the place of the caller's.
    pub boundary: Option<String>,
    /// The actions.
    pub actions: Vec<String>,
    /// The resources' ARNs; none stand for `*`.
    pub resources: Vec<String>,
    /// A policy that each of the resources is to have.
    pub resource_policy: Option<String>,
    /// The account the resources are of, as an ARN or its digits.
    pub resource_owner: Option<String>,
    /// The user who would ask.
    pub caller: Option<String>,
    /// What the request would say of itself.
    pub context: Vec<ContextEntry>,
    /// Which of the results.
    pub page: Page,
}

/// What a request would say under a key.
#[derive(Clone, Debug)]
pub struct ContextEntry {
    /// The key.
    pub key: String,
    /// Its values.
    pub values: Vec<String>,
    /// Whether it can have several.
    pub is_list: bool,
}

/// Tries policies that are sent.
pub struct SimulateCustomPolicy(pub Simulated);

/// Tries the policies of a user, group or role.
pub struct SimulatePrincipalPolicy {
    /// Its ARN.
    pub source: String,
    /// What is tried.
    pub simulated: Simulated,
}

/// Tells which keys policies that are sent ask for.
pub struct GetContextKeysForCustomPolicy {
    /// The policies.
    pub policies: Vec<String>,
}

/// Tells which keys the policies of a user, group or role ask for.
pub struct GetContextKeysForPrincipalPolicy {
    /// Its ARN.
    pub source: String,
    /// Policies as if it had them too.
    pub policies: Vec<String>,
}

/// Keys that policies ask for.
pub struct ContextKeys(pub Vec<String>);

/// Tells which policies allow a user, group or role something of a service.
pub struct ListPoliciesGrantingServiceAccess {
    /// Its ARN.
    pub source: String,
    /// The services' prefixes.
    pub services: Vec<String>,
    /// What the page before ended with.
    pub marker: Option<String>,
}

/// Policies by the service they allow something of.
pub struct GrantingPolicies(pub Paged<(String, Vec<GrantingPolicy>)>);

/// A policy that allows something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantingPolicy {
    /// Its name.
    pub name: String,
    /// Its ARN, if it is a managed one.
    pub arn: Option<String>,
    /// Whose own it is, if it is not.
    pub holder: Option<(Kind, String)>,
}

/// What the policies would answer, one for each action and resource.
pub struct SimulationResults(pub Paged<SimulationResult>);

/// What the policies would answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimulationResult {
    /// To which action.
    pub action: String,
    /// On which resource.
    pub resource: String,
    /// The answer.
    pub decision: SimulatedDecision,
    /// The statements that made it.
    pub matched: Vec<MatchedStatement>,
    /// Keys that the policies ask for and nothing was said of.
    pub missing: Vec<String>,
    /// Whether the permissions boundary allows it, if there is one.
    pub is_within_boundary: Option<bool>,
    /// Whether the resource was named, and is not just any.
    pub is_named: bool,
}

/// An answer of policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SimulatedDecision {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    ExplicitlyDenied,
    /// No statement allows it that would have to.
    ImplicitlyDenied,
}

/// A statement that made a decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MatchedStatement {
    /// Its policy's name, or `PolicyInputList.1` for the first of those that were sent.
    pub policy: String,
    /// Of what kind its policy is.
    pub kind: PolicyKind,
    /// The place after its first character.
    pub start: Position,
    /// The place after its last.
    pub end: Position,
}

/// A policy that is tried.
struct Source {
    id: String,
    document: Document,
    /// The bytes of its text.
    length: usize,
    /// How many variables it may have.
    variables: usize,
}

impl Source {
    fn of(id: String, text: &str, document: Document) -> Self {
        // A `$` or `{` that is escaped begins with this.
        let escaped = text.matches("\\u00").count();
        Self { id, document, length: text.len(), variables: text.matches("${").count() + escaped }
    }
}

/// The policies that are tried, and who would ask.
struct Sources {
    identity: Vec<Source>,
    boundary: Option<Source>,
    resource: Option<Source>,
}

/// A user, group or role whose policies are tried.
struct Holder<'a> {
    kind: Kind,
    name: &'a str,
    arn: String,
    boundary: Option<&'a str>,
    /// Its own, then those of its groups.
    policies: Vec<(Kind, &'a str, &'a access::Policies)>,
}

/// A stored document that is no policy any more.
#[derive(Debug, thiserror::Error)]
#[error("the stored policy {0} can't be read")]
struct UnreadablePolicy(String);

fn invalid(text: impl Into<String>) -> Error {
    IamError::InvalidInput(text.into()).into()
}

/// The kind and name in the ARN of a user, group or role.
fn entity_of(arn: &str) -> Option<(Kind, &str)> {
    let resource = arn.strip_prefix("arn:aws:iam::")?.split_once(':')?.1;
    let (noun, rest) = resource.split_once('/')?;
    let kind = [Kind::User, Kind::Group, Kind::Role].into_iter().find(|kind| kind.noun() == noun)?;
    rest.rsplit('/').next().filter(|name| !name.is_empty()).map(|name| (kind, name))
}

fn about(arn: &str) -> About {
    match entity_of(arn) {
        Some((kind, name)) => About::Named(kind, name.to_owned()),
        None => About::Account,
    }
}

impl Directory {
    /// The user, group or role with this ARN.
    fn holder<'a>(&'a self, arn: &'a str) -> Result<Holder<'a>, Error> {
        let Some((kind, name)) = entity_of(arn) else {
            return Err(invalid(format!(
                "Invalid Entity Arn: {arn} does not clearly define entity type and name."
            )));
        };
        let mut policies = Vec::new();
        let (its_arn, boundary) = match kind {
            Kind::User => {
                let user = self.user(name)?;
                policies.push((Kind::User, name, &user.policies));
                for group in user.groups.iter().filter_map(|name| self.groups.get(name)) {
                    policies.push((Kind::Group, group.facts.name.as_str(), &group.policies));
                }
                (user.arn(self.account), user.boundary.as_deref())
            }
            Kind::Role => {
                let role = self.role(name)?;
                policies.push((Kind::Role, name, &role.policies));
                (role.arn(self.account), role.boundary.as_deref())
            }
            Kind::Group | Kind::Policy | Kind::OidcProvider => {
                let group = self.group(name)?;
                policies.push((Kind::Group, name, &group.policies));
                (group.arn(self.account), None)
            }
        };
        if its_arn != arn {
            return Err(super::directory::not_found(kind, name));
        }
        Ok(Holder { kind, name, arn: its_arn, boundary, policies })
    }

    /// A managed policy's document, as its default version has it.
    fn managed(&self, arn: &str) -> Result<Option<Source>, Error> {
        let id = arn.rsplit('/').next().unwrap_or_default();
        if let Some(policy) = aws_policies::find(arn) {
            return stored(id, policy.document, DocumentKind::Managed).map(Some);
        }
        let Some(policy) = self.policies.get(id).filter(|policy| policy.arn(self.account) == arn) else {
            return Ok(None);
        };
        let version = policy.versions.get(&policy.default_version);
        let version = version.ok_or_else(|| Error::unavailable(UnreadablePolicy(arn.to_owned())))?;
        stored(id, &version.document, DocumentKind::Managed).map(Some)
    }
}

impl Holder<'_> {
    /// Every policy it has, of its own or its groups', by name or ARN; each managed one once.
    fn sources(&self, directory: &Directory) -> Result<Vec<(GrantingPolicy, Source)>, Error> {
        let (mut sources, mut seen) = (Vec::new(), BTreeSet::new());
        for (kind, holder, policies) in &self.policies {
            for (name, document) in &policies.inline {
                let holder = Some((*kind, (*holder).to_owned()));
                let policy = GrantingPolicy { name: name.clone(), arn: None, holder };
                sources.push((policy, stored(name, document, DocumentKind::Inline)?));
            }
            for arn in &policies.attached {
                let Some(source) = directory.managed(arn)?.filter(|_| seen.insert(arn)) else { continue };
                let name = source.id.clone();
                sources.push((GrantingPolicy { name, arn: Some(arn.clone()), holder: None }, source));
            }
        }
        Ok(sources)
    }
}

fn stored(id: &str, text: &str, kind: DocumentKind) -> Result<Source, Error> {
    let document = Document::parse(text, kind);
    let document = document.map_err(|_| Error::unavailable(UnreadablePolicy(id.to_owned())))?;
    Ok(Source::of(id.to_owned(), text, document))
}

/// Policies that are sent under a parameter's name.
fn sent(parameter: &str, texts: &[String], kind: DocumentKind) -> Result<Vec<Source>, Error> {
    let parse = |(at, text): (usize, &String)| {
        let id = format!("{parameter}.{}", at + 1);
        match Document::parse(text, kind) {
            Ok(document) => Ok(Source::of(id, text, document)),
            Err(error) => Err(invalid(format!("{id}: {}", error.aws_message()))),
        }
    };
    texts.iter().enumerate().map(parse).collect()
}

/// The account in an ARN, or the digits themselves.
fn account_of(text: &str) -> Option<&str> {
    let account = if text.contains(':') { text.split(':').nth(4)? } else { text };
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    is_account.then_some(account)
}

impl Simulated {
    fn parameters(&self, members: &mut Members<'_>) {
        members.texts("actionNames", &self.actions);
        members.texts("resourceArns", &self.resources);
        members.optional_text("resourceOwner", self.resource_owner.as_ref());
        members.optional_text("callerArn", self.caller.as_ref());
        members.texts("contextKeyNames", self.context.iter().map(|entry| &entry.key));
        members.json("maxItems", self.page.max_items);
    }

    /// AWS's rules for what can be tried.
    fn check(&self) -> Result<(), Error> {
        for action in &self.actions {
            let is_one = action.split_once(':').is_some_and(|(service, name)| {
                let is_word = |text: &str| {
                    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
                };
                is_word(service) && is_word(name)
            });
            if !is_one {
                return Err(invalid(format!(
                    "ActionNames must be of the form service:Operation and have no wildcards: {action}."
                )));
            }
        }
        for resource in &self.resources {
            if resource != "*" && (!resource.starts_with("arn:") || resource.splitn(6, ':').count() < 6) {
                return Err(invalid(format!("ResourceNames are not in a valid ARN format: {resource}.")));
            }
        }
        if let Some(caller) = &self.caller
            && (!matches!(entity_of(caller), Some((Kind::User, _))) || account_of(caller).is_none())
        {
            return Err(invalid(format!("CallerArn must be the ARN of a user: {caller}.")));
        }
        if let Some(owner) = &self.resource_owner
            && account_of(owner).is_none()
        {
            return Err(invalid(format!("ResourceOwner must be an account: {owner}.")));
        }
        for entry in &self.context {
            if !entry.is_list && entry.values.len() != 1 {
                return Err(invalid(format!(
                    "The context key {} must have one value, or a type that is a list.",
                    entry.key
                )));
            }
        }
        Ok(())
    }

    /// The policies that were sent, beside those that somebody has.
    fn sources(&self, mut identity: Vec<Source>, boundary: Option<Source>) -> Result<Sources, Error> {
        identity.extend(sent("PolicyInputList", &self.policies, DocumentKind::Inline)?);
        let list = |policy: &Option<String>| Vec::from_iter(policy.clone());
        let instead =
            sent("PermissionsBoundaryPolicyInputList", &list(&self.boundary), DocumentKind::Inline)?.pop();
        let resource = sent("ResourcePolicy", &list(&self.resource_policy), DocumentKind::Resource)?.pop();
        let resource = resource.map(|source| Source { id: "ResourcePolicy".to_owned(), ..source });
        Ok(Sources { identity, boundary: instead.or(boundary), resource })
    }

    /// Tries it: every action on every resource, a page of them.
    fn run(
        &self,
        context: &Context,
        transaction: &Transaction<'_>,
        listing: &str,
        sources: &Sources,
        principal: Principal<'_>,
    ) -> Result<SimulationResults, Error> {
        let anything = ["*".to_owned()];
        let resources = if self.resources.is_empty() { &anything[..] } else { &self.resources };
        let questions =
            self.actions.iter().flat_map(|action| resources.iter().map(move |resource| (action, resource)));
        let questions = questions.enumerate().map(|(at, question)| (format!("{at:08}"), question));
        let patterns = sources.longest(self.longest_value());
        let comparisons = patterns.max(1).saturating_mul(self.most_text());
        let at_once = PAGE_COMPARISONS_MAX / comparisons;
        if at_once == 0 {
            let text = "The policies and the longest of ResourceArns and ContextKeyValues are too long to be tried with each other.";
            return Err(invalid(text.to_owned()));
        }
        let max_items = self.page.max_items.min(u32::try_from(at_once).unwrap_or(u32::MAX));
        let page = Page { max_items, marker: self.page.marker.clone() };
        let asked = paginate(context, transaction, listing, &page, questions)?;

        let owner = self.resource_owner.as_deref().and_then(account_of);
        let is_same_account = owner.is_none() || owner == principal.account();
        let known = self.known();
        let missing = sources.keys_missing_in(&self.context);
        let compiled = Compiled::new(sources);
        let policies = Policies {
            identity: &compiled.identity,
            resource: compiled.resource.as_deref().map_or(ResourcePolicy::None, ResourcePolicy::Optional),
            boundary: compiled.boundary.as_deref(),
            is_same_account,
            ..Policies::default()
        };
        let answer = |(action, resource): (&String, &String)| {
            let request = Request { principal, action, resource, context: &known };
            let explanation = explain(&policies, &request);
            SimulationResult {
                action: action.clone(),
                resource: resource.clone(),
                decision: match explanation.decision {
                    Decision::Allowed(_) | Decision::AllowedToOwner => SimulatedDecision::Allowed,
                    Decision::ExplicitlyDenied(_) => SimulatedDecision::ExplicitlyDenied,
                    Decision::ImplicitlyDenied(_) => SimulatedDecision::ImplicitlyDenied,
                },
                matched: sources.matched(&explanation),
                missing: missing.clone(),
                is_within_boundary: sources.boundary.as_ref().map(|_| is_within_boundary(&explanation)),
                is_named: !self.resources.is_empty() && resource != "*",
            }
        };
        let items = asked.items.into_iter().map(answer).collect();
        Ok(SimulationResults(Paged { items, marker: asked.marker }))
    }

    /// Most bytes that a pattern is compared with: those of an action, a resource, or all values of one key.
    fn most_text(&self) -> usize {
        let all = |entry: &ContextEntry| entry.values.iter().map(|value| value.len() + 1).sum();
        let texts = self.actions.iter().chain(&self.resources).map(|text| text.len() + 1);
        texts.chain(self.context.iter().map(all)).max().unwrap_or(1)
    }

    /// Most bytes that stand for a variable, its default left out.
    fn longest_value(&self) -> usize {
        let values = self.context.iter().flat_map(|entry| &entry.values);
        values.map(String::len).max().unwrap_or_default()
    }

    fn known(&self) -> ContextMap {
        let mut known = ContextMap::new();
        for ContextEntry { key, values, is_list } in &self.context {
            match values.first() {
                Some(value) if !is_list => known.set(key, value.as_str()),
                Some(_) | None => known.set_list(key, values.iter().map(String::as_str)),
            }
        }
        known
    }
}

/// The same policies, to be asked. Each is called by its place in [`Sources`].
struct Compiled {
    identity: Vec<Arc<Policy>>,
    boundary: Option<Arc<Policy>>,
    resource: Option<Arc<Policy>>,
}

impl Compiled {
    fn new(sources: &Sources) -> Self {
        let compile =
            |(at, source): (usize, &Source)| Arc::new(Policy::compile(at.to_string(), &source.document));
        Self {
            identity: sources.identity.iter().enumerate().map(compile).collect(),
            boundary: sources.boundary.as_ref().map(|source| compile((0, source))),
            resource: sources.resource.as_ref().map(|source| compile((0, source))),
        }
    }
}

impl Sources {
    fn all(&self) -> impl Iterator<Item = &Source> {
        self.identity.iter().chain(&self.boundary).chain(&self.resource)
    }

    /// Most bytes of all patterns, if no variable has a longer value.
    fn longest(&self, value: usize) -> usize {
        self.all().map(|source| source.length.saturating_add(source.variables.saturating_mul(value))).sum()
    }

    /// What the policies ask for and nothing was said of.
    fn keys_missing_in(&self, context: &[ContextEntry]) -> Vec<String> {
        let told: BTreeSet<String> = context.iter().map(|entry| entry.key.to_ascii_lowercase()).collect();
        let mut keys = keys_of(self.all());
        keys.retain(|key| !told.contains(&key.to_ascii_lowercase()));
        keys
    }

    fn of(&self, kind: PolicyKind, at: &str) -> Option<&Source> {
        match kind {
            PolicyKind::Identity => self.identity.get(at.parse::<usize>().ok()?),
            PolicyKind::Boundary => self.boundary.as_ref(),
            PolicyKind::Resource => self.resource.as_ref(),
            PolicyKind::Session | PolicyKind::ServiceControl => None,
        }
    }

    /// The statements that made the decision: those that deny, if any does, or else those that give.
    fn matched(&self, explanation: &Explanation<'_>) -> Vec<MatchedStatement> {
        let effect = match explanation.decision {
            Decision::Allowed(_) | Decision::AllowedToOwner => Effect::Allow,
            Decision::ExplicitlyDenied(_) => Effect::Deny,
            Decision::ImplicitlyDenied(_) => return Vec::new(),
        };
        let matching = explanation.statements.iter().filter(|considered| {
            // A boundary gives nothing.
            let has_a_say = effect == Effect::Deny || considered.statement.kind != PolicyKind::Boundary;
            considered.effect == effect && considered.mismatch.is_none() && has_a_say
        });
        let place = |considered: &coffer_policy::Considered<'_>| {
            let by = considered.statement;
            let source = self.of(by.kind, by.policy)?;
            let statement = source.document.statements.get(by.statement)?;
            let Position { line, column } = statement.position;
            Some(MatchedStatement {
                policy: source.id.clone(),
                kind: by.kind,
                start: Position { line, column: column + 1 },
                end: statement.end,
            })
        };
        matching.filter_map(place).collect()
    }
}

/// Whether a statement of the boundary allows it and none of it denies it.
fn is_within_boundary(explanation: &Explanation<'_>) -> bool {
    let says = |effect| {
        let mut of_boundary =
            explanation.statements.iter().filter(|one| one.statement.kind == PolicyKind::Boundary);
        of_boundary.any(|one| one.effect == effect && one.mismatch.is_none())
    };
    says(Effect::Allow) && !says(Effect::Deny)
}

fn keys_of<'a>(sources: impl Iterator<Item = &'a Source>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let keys = sources.flat_map(|source| source.document.context_keys());
    keys.filter(|key| seen.insert(key.to_ascii_lowercase())).map(str::to_owned).collect()
}

impl DirectoryOperation for SimulateCustomPolicy {
    type Output = SimulationResults;
    const NAME: OperationName = OperationName { name: "SimulateCustomPolicy", read_only: true };

    fn about(&self, _: &Context) -> About {
        About::Account
    }

    fn parameters(&self, members: &mut Members<'_>) {
        self.0.parameters(members);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<SimulationResults, Error> {
        self.0.check()?;
        let account = directory.account.to_string();
        let principal = match &self.0.caller {
            Some(arn) => user(arn),
            None if self.0.resource_policy.is_some() => return Err(caller_is_missing()),
            None => Principal::User { arn: "", account: &account, unique_id: "" },
        };
        let sources = self.0.sources(Vec::new(), None)?;
        self.0.run(context, transaction, Self::NAME.name, &sources, principal)
    }
}

impl DirectoryOperation for SimulatePrincipalPolicy {
    type Output = SimulationResults;
    const NAME: OperationName = OperationName { name: "SimulatePrincipalPolicy", read_only: true };
    const THROUGH: &'static [Through] = &[Through::Groups, Through::Policies];

    fn about(&self, _: &Context) -> About {
        about(&self.source)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policySourceArn", &self.source);
        self.simulated.parameters(members);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<SimulationResults, Error> {
        self.simulated.check()?;
        let holder = directory.holder(&self.source)?;
        let account = directory.account.to_string();
        let principal = match (&self.simulated.caller, holder.kind) {
            (Some(arn), _) => user(arn),
            (None, Kind::User) => {
                let id = &directory.user(holder.name)?.facts.id;
                Principal::User { arn: &holder.arn, account: &account, unique_id: id }
            }
            (None, Kind::Role | Kind::Group | Kind::Policy | Kind::OidcProvider)
                if self.simulated.resource_policy.is_some() =>
            {
                return Err(caller_is_missing());
            }
            (None, Kind::Role | Kind::Group | Kind::Policy | Kind::OidcProvider) => {
                Principal::User { arn: "", account: &account, unique_id: "" }
            }
        };
        let boundary = match holder.boundary {
            // As the gate has it: who is bounded by what is not there may do nothing.
            Some(arn) => Some(
                directory
                    .managed(arn)?
                    .ok_or_else(|| Error::unavailable(UnreadablePolicy(arn.to_owned())))?,
            ),
            None => None,
        };
        let identity = holder.sources(directory)?.into_iter().map(|(_, source)| source).collect();
        let sources = self.simulated.sources(identity, boundary)?;
        self.simulated.run(context, transaction, Self::NAME.name, &sources, principal)
    }
}

fn user(arn: &str) -> Principal<'_> {
    Principal::User { arn, account: account_of(arn).unwrap_or_default(), unique_id: "" }
}

fn caller_is_missing() -> Error {
    invalid("CallerArn must be the ARN of a user when a ResourcePolicy is given.")
}

impl DirectoryOperation for GetContextKeysForCustomPolicy {
    type Output = ContextKeys;
    const NAME: OperationName = OperationName { name: "GetContextKeysForCustomPolicy", read_only: true };

    fn about(&self, _: &Context) -> About {
        About::Account
    }

    fn parameters(&self, _: &mut Members<'_>) {}

    fn run(&self, _: &Context, _: &Directory, _: &mut Transaction<'_>) -> Result<ContextKeys, Error> {
        Ok(ContextKeys(keys_of(sent("PolicyInputList", &self.policies, DocumentKind::Inline)?.iter())))
    }
}

impl DirectoryOperation for GetContextKeysForPrincipalPolicy {
    type Output = ContextKeys;
    const NAME: OperationName = OperationName { name: "GetContextKeysForPrincipalPolicy", read_only: true };
    const THROUGH: &'static [Through] = &[Through::Groups, Through::Policies];

    fn about(&self, _: &Context) -> About {
        about(&self.source)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("policySourceArn", &self.source);
    }

    fn run(&self, _: &Context, directory: &Directory, _: &mut Transaction<'_>) -> Result<ContextKeys, Error> {
        let mut sources: Vec<Source> = Vec::new();
        sources.extend(
            directory.holder(&self.source)?.sources(directory)?.into_iter().map(|(_, source)| source),
        );
        sources.extend(sent("PolicyInputList", &self.policies, DocumentKind::Inline)?);
        Ok(ContextKeys(keys_of(sources.iter())))
    }
}

impl DirectoryOperation for ListPoliciesGrantingServiceAccess {
    type Output = GrantingPolicies;
    const NAME: OperationName = OperationName { name: "ListPoliciesGrantingServiceAccess", read_only: true };
    const THROUGH: &'static [Through] = &[Through::Groups, Through::Policies];

    fn about(&self, _: &Context) -> About {
        about(&self.source)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        members.text("arn", &self.source);
        members.texts("serviceNamespaces", &self.services);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<GrantingPolicies, Error> {
        let sources = directory.holder(&self.source)?.sources(directory)?;
        let services = self.services.iter().enumerate().map(|(at, service)| {
            let allows = |source: &Source| {
                source.document.statements.iter().any(|statement| statement.allows_some_of(service))
            };
            let granting = sources.iter().filter(|(_, source)| allows(source));
            let policies = granting.map(|(policy, _)| policy.clone()).collect();
            (format!("{at:08}"), (service.clone(), policies))
        });
        let page = Page { marker: self.marker.clone(), ..Page::default() };
        Ok(GrantingPolicies(paginate(context, transaction, Self::NAME.name, &page, services)?))
    }
}
