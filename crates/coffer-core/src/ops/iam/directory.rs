//! What the operations on users, groups, roles and policies have in common.
//!
//! Each says what it is about, which other entities it names, and which kinds it has to look through as a whole; from that it
//! is found, authorized and run here, the same way for all. Invariant: whatever it writes goes with a new policy epoch, so
//! what was found is what is changed, and nothing commits under a permission that has just been taken away.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_store::Order;
use coffer_types::{AccountId, Action, EntityName, EntityPath, OidcProviderArn, PolicyArn, Tag};

use super::{Described, Page, Paged};
use crate::authorize::{either, request_tags, tag_value};
use crate::error::IamError;
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::records::access::{Entity, Facts, Policies, arn_of};
use crate::records::view::{View, let_others_run, successor};
use crate::records::{AccessKey, AccountAlias, Group, ManagedPolicy, OidcProvider, PolicyEpoch, Role, User};
use crate::transaction::Transaction;
use crate::{Context, Error, keys};

/// How many records are read at a time where a kind is looked through.
const BATCH: usize = 256;

/// What kind of entity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A user.
    User,
    /// A group of users.
    Group,
    /// A role.
    Role,
    /// A managed policy.
    Policy,
    /// An OpenID Connect identity provider.
    OidcProvider,
}

impl Kind {
    /// What ARNs call it.
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            Self::User => User::NOUN,
            Self::Group => Group::NOUN,
            Self::Role => Role::NOUN,
            Self::Policy => ManagedPolicy::NOUN,
            Self::OidcProvider => OidcProvider::NOUN,
        }
    }

    /// The action that tags one, if it can have tags.
    const fn tag_action(self) -> Option<&'static str> {
        match self {
            Self::User => Some("TagUser"),
            Self::Group => None,
            Self::Role => Some("TagRole"),
            Self::Policy => Some("TagPolicy"),
            Self::OidcProvider => Some("TagOpenIDConnectProvider"),
        }
    }

    /// What the parameter is called that names one, in records.
    pub(crate) const fn parameter(self) -> &'static str {
        match self {
            Self::User => "userName",
            Self::Group => "groupName",
            Self::Role => "roleName",
            Self::Policy => "policyArn",
            Self::OidcProvider => "openIDConnectProviderArn",
        }
    }
}

/// A kind as a type, for operations that are the same for several.
pub trait OfKind: Send + Sync + 'static {
    /// The kind.
    const KIND: Kind;
}

macro_rules! of_kind {
    ($($name:ident: $kind:ident),*) => {$(
        #[doc = concat!("`Kind::", stringify!($kind), "`")]
        pub struct $name;

        impl OfKind for $name {
            const KIND: Kind = Kind::$kind;
        }
    )*};
}

of_kind! { OfUser: User, OfGroup: Group, OfRole: Role, OfPolicy: Policy, OfOidcProvider: OidcProvider }

/// What an operation is about: what its permission is needed on.
pub enum About {
    /// One that is there, or is not.
    Named(Kind, String),
    /// A managed policy.
    Policy(PolicyArn),
    /// An identity provider.
    Provider(OidcProviderArn),
    /// One that is to be made.
    New(Kind, EntityPath, EntityName),
    /// An identity provider that is to be made, by the name in its ARN.
    NewProvider(String),
    /// All of a kind.
    All(Kind),
    /// The account.
    Account,
}

impl About {
    pub(crate) fn user(name: &EntityName) -> Self {
        Self::Named(Kind::User, name.to_string())
    }

    pub(crate) fn group(name: &EntityName) -> Self {
        Self::Named(Kind::Group, name.to_string())
    }

    pub(crate) fn role(name: &EntityName) -> Self {
        Self::Named(Kind::Role, name.to_string())
    }

    /// The user that was named, or else the caller.
    pub(crate) fn user_or_caller(context: &Context, name: Option<&EntityName>) -> Self {
        match (name, context.principal.user_name()) {
            (Some(name), _) => Self::user(name),
            (None, Some(caller)) => Self::Named(Kind::User, caller.to_owned()),
            (None, None) => Self::Account,
        }
    }
}

/// The user that was named, or else the caller.
pub(crate) fn user_or_caller(context: &Context, name: Option<&EntityName>) -> Result<String, Error> {
    match (name, context.principal.user_name()) {
        (Some(name), _) => Ok(name.to_string()),
        (None, Some(caller)) => Ok(caller.to_owned()),
        (None, None) => Err(Error::InvalidParameter(
            "Must specify userName when calling with non-User credentials".to_owned(),
        )),
    }
}

/// What may have to be looked through as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// All users.
    Users,
    /// All groups.
    Groups,
    /// All roles.
    Roles,
    /// All managed policies of the account's own.
    Policies,
    /// All identity providers.
    Providers,
    /// All access keys.
    AccessKeys,
}

/// What was found of the account's users, groups, roles and policies. What is not in it was not looked for, or is not there.
pub struct Directory {
    pub(crate) account: AccountId,
    pub(crate) users: BTreeMap<String, Arc<User>>,
    pub(crate) groups: BTreeMap<String, Arc<Group>>,
    pub(crate) roles: BTreeMap<String, Arc<Role>>,
    pub(crate) policies: BTreeMap<String, Arc<ManagedPolicy>>,
    pub(crate) providers: BTreeMap<String, Arc<OidcProvider>>,
    pub(crate) access_keys: BTreeMap<String, Arc<AccessKey>>,
    pub(crate) alias: Option<Arc<AccountAlias>>,
    /// Whose tags are the resource's.
    about: Option<(Kind, String)>,
}

impl Directory {
    pub(crate) fn new(account: AccountId) -> Self {
        Self {
            account,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            roles: BTreeMap::new(),
            policies: BTreeMap::new(),
            providers: BTreeMap::new(),
            access_keys: BTreeMap::new(),
            alias: None,
            about: None,
        }
    }

    pub(crate) async fn read(&mut self, view: &mut View, kind: Kind, name: &str) -> Result<(), Error> {
        match kind {
            Kind::User => read_into(&mut self.users, self.account, view, name).await,
            Kind::Group => read_into(&mut self.groups, self.account, view, name).await,
            Kind::Role => read_into(&mut self.roles, self.account, view, name).await,
            Kind::Policy => read_into(&mut self.policies, self.account, view, name).await,
            Kind::OidcProvider => read_into(&mut self.providers, self.account, view, name).await,
        }
    }

    pub(crate) async fn read_all(&mut self, view: &mut View, through: Through) -> Result<(), Error> {
        match through {
            Through::Users => read_all_into(&mut self.users, self.account, view).await,
            Through::Groups => read_all_into(&mut self.groups, self.account, view).await,
            Through::Roles => read_all_into(&mut self.roles, self.account, view).await,
            Through::Policies => read_all_into(&mut self.policies, self.account, view).await,
            Through::Providers => read_all_into(&mut self.providers, self.account, view).await,
            Through::AccessKeys => {
                let mut range = keys::access_keys();
                loop {
                    let batch = view.range::<AccessKey>(range.clone(), Order::Ascending, BATCH).await?;
                    let Some((last, _)) = batch.last() else { return Ok(()) };
                    range.start = successor(last);
                    let_others_run().await;
                    for (key, loaded) in batch {
                        let id = keys::parse_access_key(&key).unwrap_or_default();
                        if loaded.record.account == self.account {
                            self.access_keys.insert(id.to_owned(), loaded.record);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn user(&self, name: &str) -> Result<&Arc<User>, Error> {
        self.users.get(name).ok_or_else(|| not_found(Kind::User, name))
    }

    pub(crate) fn group(&self, name: &str) -> Result<&Arc<Group>, Error> {
        self.groups.get(name).ok_or_else(|| not_found(Kind::Group, name))
    }

    pub(crate) fn role(&self, name: &str) -> Result<&Arc<Role>, Error> {
        self.roles.get(name).ok_or_else(|| not_found(Kind::Role, name))
    }

    /// A managed policy of the account's own.
    pub(crate) fn policy(&self, arn: &PolicyArn) -> Result<&Arc<ManagedPolicy>, Error> {
        let found = self.policies.get(arn.name.as_str());
        found
            .filter(|policy| arn.account == Some(self.account) && policy.arn(self.account) == arn.as_str())
            .ok_or_else(|| IamError::NoSuchEntity(format!("Policy {arn} was not found.")).into())
    }

    /// An identity provider of the account's.
    pub(crate) fn provider(&self, arn: &OidcProviderArn) -> Result<&Arc<OidcProvider>, Error> {
        let found = self.providers.get(arn.name.as_str()).filter(|_| arn.account == self.account);
        found.ok_or_else(|| {
            IamError::NoSuchEntity(format!("OpenIDConnect Provider not found for arn {arn}")).into()
        })
    }

    /// What a user, group or role has.
    pub(crate) fn policies_of(&self, kind: Kind, name: &str) -> Result<Policies, Error> {
        Ok(match kind {
            Kind::User => self.user(name)?.policies.clone(),
            Kind::Group => self.group(name)?.policies.clone(),
            Kind::Role => self.role(name)?.policies.clone(),
            Kind::Policy | Kind::OidcProvider => Policies::default(),
        })
    }

    /// Stages what a user, group or role has.
    pub(crate) fn set_policies(
        &self,
        transaction: &mut Transaction<'_>,
        kind: Kind,
        name: &str,
        policies: Policies,
    ) -> Result<(), Error> {
        match kind {
            Kind::User => self.put(transaction, &User { policies, ..self.user(name)?.as_ref().clone() }),
            Kind::Group => self.put(transaction, &Group { policies, ..self.group(name)?.as_ref().clone() }),
            Kind::Role => self.put(transaction, &Role { policies, ..self.role(name)?.as_ref().clone() }),
            Kind::Policy | Kind::OidcProvider => {}
        }
        Ok(())
    }

    /// Stages an entity, under its name.
    pub(crate) fn put<E: Entity>(&self, transaction: &mut Transaction<'_>, entity: &E) {
        transaction.put(E::key(self.account, &entity.facts().name), entity);
    }

    /// Stages that an entity is no more.
    pub(crate) fn delete<E: Entity>(&self, transaction: &mut Transaction<'_>, entity: &E) {
        transaction.remove_with_its_owner(E::key(self.account, &entity.facts().name));
    }

    pub(crate) fn describe<E: Entity>(&self, entity: &E, boundary: Option<&String>) -> Described {
        let facts = entity.facts();
        Described {
            name: facts.name.clone(),
            path: facts.path.clone(),
            id: facts.id.clone(),
            arn: entity.arn(self.account),
            created: facts.created,
            tags: facts.tags.clone(),
            boundary: boundary.cloned(),
        }
    }

    /// The tags of what the operation is about.
    fn about_tags(&self) -> Option<&[Tag]> {
        let (kind, name) = self.about.as_ref()?;
        self.facts_of(*kind, name).map(|facts| facts.tags.as_slice())
    }

    /// The boundary of the user or role that the operation is about.
    fn about_boundary(&self) -> Option<&str> {
        let (kind, name) = self.about.as_ref()?;
        match kind {
            Kind::User => self.users.get(name)?.boundary.as_deref(),
            Kind::Role => self.roles.get(name)?.boundary.as_deref(),
            Kind::Group | Kind::Policy | Kind::OidcProvider => None,
        }
    }

    fn facts_of(&self, kind: Kind, name: &str) -> Option<&Facts> {
        Some(match kind {
            Kind::User => &self.users.get(name)?.facts,
            Kind::Group => &self.groups.get(name)?.facts,
            Kind::Role => &self.roles.get(name)?.facts,
            Kind::Policy => &self.policies.get(name)?.facts,
            Kind::OidcProvider => &self.providers.get(name)?.facts,
        })
    }

    fn arn_of(&self, kind: Kind, name: &str) -> String {
        let known = match kind {
            Kind::User => self.users.get(name).map(|user| user.arn(self.account)),
            Kind::Group => self.groups.get(name).map(|group| group.arn(self.account)),
            Kind::Role => self.roles.get(name).map(|role| role.arn(self.account)),
            Kind::Policy => self.policies.get(name).map(|policy| policy.arn(self.account)),
            Kind::OidcProvider => self.providers.get(name).map(|provider| provider.arn(self.account)),
        };
        known.unwrap_or_else(|| arn_of(self.account, kind.noun(), "/", name))
    }
}

pub(crate) fn not_found(kind: Kind, name: &str) -> Error {
    let noun = kind.noun();
    IamError::NoSuchEntity(format!("The {noun} with name {name} cannot be found.")).into()
}

/// A name that is taken, whatever the case of its letters, is not given again.
pub(crate) fn check_free<E: Entity>(
    known: &BTreeMap<String, Arc<E>>,
    name: &str,
    quota: &str,
    max: usize,
) -> Result<(), Error> {
    if known.keys().any(|known| known.eq_ignore_ascii_case(name)) {
        let text = match E::NOUN {
            "policy" => format!("A policy called {name} already exists. Duplicate names are not allowed."),
            _ => format!("{} with name {name} already exists.", E::TITLE),
        };
        return Err(IamError::EntityAlreadyExists(text).into());
    }
    check_quota(known.len() + 1, quota, max)
}

pub(crate) fn check_quota(count: usize, quota: &str, max: usize) -> Result<(), Error> {
    if count > max {
        return Err(IamError::LimitExceeded(format!("Cannot exceed quota for {quota}: {max}")).into());
    }
    Ok(())
}

async fn read_into<E: Entity>(
    known: &mut BTreeMap<String, Arc<E>>,
    account: AccountId,
    view: &mut View,
    name: &str,
) -> Result<(), Error> {
    // From the snapshot: the cache may still hold what a change of the epoch that is guarded has just replaced.
    if let Some(loaded) = view.get_past_cache::<E>(&E::key(account, name)).await? {
        known.insert(name.to_owned(), loaded.record);
    }
    Ok(())
}

async fn read_all_into<E: Entity>(
    known: &mut BTreeMap<String, Arc<E>>,
    account: AccountId,
    view: &mut View,
) -> Result<(), Error> {
    let mut range = E::range(account);
    loop {
        let batch = view.range::<E>(range.clone(), Order::Ascending, BATCH).await?;
        let Some((last, _)) = batch.last() else { return Ok(()) };
        range.start = successor(last);
        let_others_run().await;
        known
            .extend(batch.into_iter().map(|(_, loaded)| (loaded.record.facts().name.clone(), loaded.record)));
    }
}

/// The page of a listing, which is in the order of its keys.
pub(crate) fn paginate<T>(
    context: &Context,
    transaction: &Transaction<'_>,
    listing: &str,
    page: &Page,
    entries: impl IntoIterator<Item = (String, T)>,
) -> Result<Paged<T>, Error> {
    let after = match &page.marker {
        Some(marker) => Some(transaction.open_cursor(context, listing, marker)?),
        None => None,
    };
    let is_after = |key: &str| after.as_ref().is_none_or(|after| key.as_bytes() > after.as_ref());
    let mut rest = entries.into_iter().filter(|(key, _)| is_after(key));
    let (mut items, mut last) = (Vec::new(), None);
    for (key, item) in rest.by_ref().take(page.max_items as usize) {
        items.push(item);
        last = Some(key);
    }
    let marker = match (rest.next(), last) {
        (Some(_), Some(last)) => Some(transaction.make_cursor(context, listing, last)),
        _ => None,
    };
    Ok(Paged { items, marker })
}

/// An operation on the account's users, groups, roles or policies.
pub trait DirectoryOperation: Send + Sync + 'static {
    /// The answer.
    type Output: Send + 'static;
    /// Its name, and that of the action it needs the permission for.
    const NAME: OperationName;
    /// What it may have to look through.
    const THROUGH: &'static [Through] = &[];
    /// Whether conditions are told the boundary of the user or role it is about, as AWS tells them.
    const TELLS_BOUNDARY: bool = false;

    /// What it is about.
    fn about(&self, context: &Context) -> About;

    /// What else it names.
    fn also(&self, _context: &Context) -> Vec<(Kind, String)> {
        Vec::new()
    }

    /// What else it names that is more than a few records: read only for whoever is allowed to.
    fn names(&self, _found: &Directory) -> Vec<(Kind, String)> {
        Vec::new()
    }

    /// Whether it has to look through a kind after all, now that what it names was found.
    fn has_to_look_through(&self, _through: Through, _found: &Directory) -> bool {
        true
    }

    /// As [`Operation::parameters`].
    fn parameters(&self, members: &mut Members<'_>);

    /// As [`Operation::run`].
    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Self::Output, Error>;

    /// As [`Operation::response`].
    fn response(_output: &Self::Output, _members: &mut Members<'_>) {}

    /// The tags it brings.
    fn request_tags(&self) -> Option<&[Tag]> {
        None
    }

    /// What becomes of what it is about, if it gets another name or path.
    fn renames(&self) -> Option<(Option<&EntityName>, Option<&EntityPath>)> {
        None
    }

    /// As [`Operation::condition`], but for tags.
    fn condition<'a>(&'a self, _key: &str) -> Values<'a> {
        Values::Absent
    }
}

impl<T: DirectoryOperation> Operation for T {
    type Found = Directory;
    type Output = T::Output;
    const NAME: OperationName = <T as DirectoryOperation>::NAME;
    const FINDS_MORE: bool = !T::THROUGH.is_empty();

    fn parameters(&self, members: &mut Members<'_>) {
        DirectoryOperation::parameters(self, members);
    }

    async fn find(&self, context: &Context, view: &mut View) -> Result<Directory, Error> {
        let mut directory = Directory::new(context.account);
        match self.about(context) {
            About::Named(kind, name) => {
                directory.read(view, kind, &name).await?;
                directory.about = Some((kind, name));
            }
            About::Policy(arn) => {
                directory.read(view, Kind::Policy, arn.name.as_str()).await?;
                directory.about = Some((Kind::Policy, arn.name.to_string()));
            }
            About::Account => {
                let alias =
                    view.get_past_cache::<AccountAlias>(&keys::account_alias(context.account)).await?;
                directory.alias = alias.map(|alias| alias.record);
            }
            About::Provider(arn) => {
                directory.read(view, Kind::OidcProvider, &arn.name).await?;
                directory.about = Some((Kind::OidcProvider, arn.name));
            }
            About::New(..) | About::NewProvider(_) | About::All(_) => {}
        }
        for (kind, name) in self.also(context) {
            directory.read(view, kind, &name).await?;
        }
        Ok(directory)
    }

    fn requires(&self, context: &Context, found: &Directory) -> Requirements {
        let action = Action::new("iam", <T as DirectoryOperation>::NAME.name);
        let account = context.account;
        // Whoever may not tag must not make what looks like another's, nor turn its own into it under another name.
        let mut also = None;
        let (resource, as_supplied) = match self.about(context) {
            About::Named(kind, name) => {
                if let Some((new_name, new_path)) = self.renames() {
                    let path = found.facts_of(kind, &name).map_or("/", |facts| facts.path.as_str());
                    let path = new_path.map_or(path, EntityPath::as_str);
                    let new_name = new_name.map_or(name.as_str(), EntityName::as_str);
                    let arn = arn_of(account, kind.noun(), path, new_name).into();
                    also = Some((action, arn, Arc::from(format!("{} {new_name}", kind.noun()))));
                }
                (found.arn_of(kind, &name).into(), Arc::from(format!("{} {name}", kind.noun())))
            }
            About::Policy(arn) => (arn.as_str().into(), Arc::from(format!("policy {arn}"))),
            About::New(kind, path, name) => {
                let arn: Arc<str> = arn_of(account, kind.noun(), path.as_str(), name.as_str()).into();
                let tag =
                    kind.tag_action().filter(|_| self.request_tags().is_some_and(|tags| !tags.is_empty()));
                also = tag.map(|tag| (Action::new("iam", tag), Arc::clone(&arn), Arc::clone(&arn)));
                (Arc::clone(&arn), arn)
            }
            About::Provider(arn) => (arn.as_str().into(), Arc::from(arn.as_str())),
            About::NewProvider(name) => {
                let arn: Arc<str> = arn_of(account, OidcProvider::NOUN, "/", &name).into();
                let tag = self.request_tags().is_some_and(|tags| !tags.is_empty());
                let tag = Kind::OidcProvider.tag_action().filter(|_| tag);
                also = tag.map(|tag| (Action::new("iam", tag), Arc::clone(&arn), Arc::clone(&arn)));
                (Arc::clone(&arn), arn)
            }
            About::All(kind) => {
                let arn: Arc<str> = arn_of(account, kind.noun(), "/", "").into();
                (Arc::clone(&arn), arn)
            }
            About::Account => (Arc::from("*"), Arc::from("*")),
        };
        let both = std::iter::once((action, resource, as_supplied)).chain(also);
        let require =
            |(action, resource, as_supplied)| Requirement { action, resource, as_supplied, trust: None };
        Requirements(both.map(require).collect())
    }

    fn condition<'a>(&'a self, found: &'a Directory, key: &str) -> Values<'a> {
        let tag = key.strip_prefix("aws:resourcetag/").or_else(|| key.strip_prefix("iam:resourcetag/"));
        match tag {
            Some(tag) => tag_value(found.about_tags(), tag),
            None if T::TELLS_BOUNDARY && key == "iam:permissionsboundary" => {
                Values::optional(found.about_boundary())
            }
            None => {
                either(request_tags(self.request_tags(), key), || DirectoryOperation::condition(self, key))
            }
        }
    }

    async fn find_more(&self, _: &Context, view: &mut View, found: &mut Directory) -> Result<(), Error> {
        for (kind, name) in self.names(found) {
            found.read(view, kind, &name).await?;
        }
        let inner = Arc::clone(view.inner());
        let mut permit = None;
        for through in T::THROUGH {
            if self.has_to_look_through(*through, found) {
                if permit.is_none() {
                    permit = Some(inner.walk_permits.acquire().await);
                }
                found.read_all(view, *through).await?;
            }
        }
        Ok(())
    }

    fn run(
        &self,
        context: &Context,
        grant: Grant<Directory>,
        transaction: &mut Transaction<'_>,
    ) -> Result<T::Output, Error> {
        let output = DirectoryOperation::run(self, context, &grant.into_found(), transaction)?;
        if !transaction.is_empty() {
            let epoch = PolicyEpoch { changed: transaction.now() };
            transaction.put(keys::policy_epoch(context.account), &epoch);
        }
        Ok(output)
    }

    fn response(output: &T::Output, members: &mut Members<'_>) {
        <T as DirectoryOperation>::response(output, members);
    }
}
