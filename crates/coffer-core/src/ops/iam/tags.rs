//! Tags of users, roles, managed policies and identity providers.

use coffer_audit::Members;
use coffer_policy::Values;
use coffer_types::Tag;
use coffer_types::limits::TAGS_PER_SECRET_MAX;

use super::directory::{About, Directory, DirectoryOperation, Kind, OfKind, check_quota, paginate};
use super::users::{check_tag_keys, write_tags};
use super::{Done, EntityReference, ListEntityTags, TagEntity, Tags, UntagEntity};
use crate::authorize::tag_keys;
use crate::gate::OperationName;
use crate::records::access::Entity;
use crate::transaction::Transaction;
use crate::{Context, Error};

/// A name for each kind that has tags; groups have none.
macro_rules! name {
    ($user:literal, $role:literal, $policy:literal, $provider:literal, $read_only:literal) => {
        OperationName {
            name: match K::KIND {
                Kind::User | Kind::Group => $user,
                Kind::Role => $role,
                Kind::Policy => $policy,
                Kind::OidcProvider => $provider,
            },
            read_only: $read_only,
        }
    };
}

impl EntityReference {
    fn about(&self, kind: Kind) -> About {
        match self {
            Self::Named(name) => About::Named(kind, name.to_string()),
            Self::Policy(arn) => About::Policy(arn.clone()),
            Self::Provider(arn) => About::Provider(arn.clone()),
        }
    }

    fn write(&self, kind: Kind, members: &mut Members<'_>) {
        match self {
            Self::Named(name) => members.text(kind.parameter(), name),
            Self::Policy(arn) => members.text(kind.parameter(), arn),
            Self::Provider(arn) => members.text(kind.parameter(), arn),
        }
    }
}

impl Directory {
    /// Lets the tags of an entity be looked at or changed; stages it if they were.
    fn with_tags<T>(
        &self,
        transaction: &mut Transaction<'_>,
        kind: Kind,
        entity: &EntityReference,
        act: impl FnOnce(&mut Vec<Tag>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match (kind, entity) {
            (Kind::Role, EntityReference::Named(name)) => {
                self.on_tags(transaction, self.role(name.as_str())?.as_ref(), act)
            }
            (_, EntityReference::Named(name)) => {
                self.on_tags(transaction, self.user(name.as_str())?.as_ref(), act)
            }
            (_, EntityReference::Policy(arn)) => self.on_tags(transaction, self.policy(arn)?.as_ref(), act),
            (_, EntityReference::Provider(arn)) => {
                self.on_tags(transaction, self.provider(arn)?.as_ref(), act)
            }
        }
    }

    fn on_tags<E: Entity, T>(
        &self,
        transaction: &mut Transaction<'_>,
        known: &E,
        act: impl FnOnce(&mut Vec<Tag>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut entity = known.clone();
        let done = act(&mut entity.facts_mut().tags)?;
        if entity.facts().tags != known.facts().tags {
            self.put(transaction, &entity);
        }
        Ok(done)
    }
}

impl<K: OfKind> DirectoryOperation for TagEntity<K> {
    type Output = Done;
    const NAME: OperationName = name!("TagUser", "TagRole", "TagPolicy", "TagOpenIDConnectProvider", false);

    fn about(&self, _: &Context) -> About {
        self.entity.about(K::KIND)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        self.entity.write(K::KIND, members);
        write_tags(members, &self.tags);
    }

    fn request_tags(&self) -> Option<&[Tag]> {
        Some(&self.tags)
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        directory.with_tags(transaction, K::KIND, &self.entity, |known| {
            check_tag_keys(&self.tags)?;
            for tag in &self.tags {
                // Keys differ in more than the case of their letters.
                known.retain(|known| !known.key().eq_ignore_ascii_case(tag.key()));
                known.push(tag.clone());
            }
            check_quota(known.len(), "TagsPerEntity", TAGS_PER_SECRET_MAX)
        })?;
        Ok(Done)
    }
}

impl<K: OfKind> DirectoryOperation for UntagEntity<K> {
    type Output = Done;
    const NAME: OperationName =
        name!("UntagUser", "UntagRole", "UntagPolicy", "UntagOpenIDConnectProvider", false);

    fn about(&self, _: &Context) -> About {
        self.entity.about(K::KIND)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        self.entity.write(K::KIND, members);
        members.texts("tagKeys", &self.keys);
    }

    fn condition<'a>(&'a self, key: &str) -> Values<'a> {
        match key {
            "aws:tagkeys" => tag_keys(&self.keys, key),
            _ => Values::Absent,
        }
    }

    fn run(
        &self,
        _: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Done, Error> {
        directory.with_tags(transaction, K::KIND, &self.entity, |known| {
            known.retain(|tag| !self.keys.iter().any(|key| key.eq_ignore_ascii_case(tag.key())));
            Ok(())
        })?;
        Ok(Done)
    }
}

impl<K: OfKind> DirectoryOperation for ListEntityTags<K> {
    type Output = Tags;
    const NAME: OperationName =
        name!("ListUserTags", "ListRoleTags", "ListPolicyTags", "ListOpenIDConnectProviderTags", true);

    fn about(&self, _: &Context) -> About {
        self.entity.about(K::KIND)
    }

    fn parameters(&self, members: &mut Members<'_>) {
        self.entity.write(K::KIND, members);
    }

    fn run(
        &self,
        context: &Context,
        directory: &Directory,
        transaction: &mut Transaction<'_>,
    ) -> Result<Tags, Error> {
        let known = directory.with_tags(transaction, K::KIND, &self.entity, |known| Ok(known.clone()));
        let mut tags: Vec<_> = known?.into_iter().map(|tag| (tag.key().to_owned(), tag)).collect();
        tags.sort_by(|(one, _), (other, _)| one.cmp(other));
        let name = <Self as DirectoryOperation>::NAME.name;
        paginate(context, transaction, name, &self.page, tags).map(Tags)
    }
}
