//! Short words for the operations on secrets, so that tests read as tables.

use coffer_core::Error;
use coffer_core::ops::secrets::{
    CreateSecret, CreatedSecret, DeleteSecret, DeletedSecret, DeletionMode, DescribeSecret, GetSecretValue,
    ListSecretVersionIds, ListSecrets, PutSecretValue, PutVersion, RestoreSecret, SecretDescription,
    SecretReference, TagResource, UntagResource, UpdateSecret, UpdateSecretVersionStage, UpdatedVersion,
    VersionDescription,
};
use coffer_types::{SecretBytes, SecretId, SecretValue, Stage, Tag};

use crate::{World, version_id};

/// A text value.
pub fn text(value: &str) -> SecretValue {
    SecretValue::string(SecretBytes::copy_from(value.as_bytes())).expect("1 to 65,536 bytes")
}

/// A staging label.
pub fn stage(label: &str) -> Stage {
    label.parse().expect("1 to 256 characters")
}

/// A secret's name or ARN.
pub fn secret_id(name: &str) -> SecretId {
    name.parse().expect("a name or an ARN")
}

/// Makes a secret; its version has the id with the number `token`.
pub fn create(name: &str, token: u64, value: Option<&str>) -> CreateSecret {
    CreateSecret {
        name: name.parse().expect("a name"),
        token: version_id(token),
        description: None,
        kms_key_id: None,
        value: value.map(text),
        tags: None,
    }
}

/// Makes a version.
pub fn put(name: &str, token: u64, value: &str, stages: Option<&[&str]>) -> PutSecretValue {
    PutSecretValue {
        secret_id: secret_id(name),
        token: version_id(token),
        value: text(value),
        stages: stages.map(|labels| labels.iter().map(|label| stage(label)).collect()),
    }
}

/// Reads a value.
pub fn get(name: &str, version: Option<u64>, label: Option<&str>) -> GetSecretValue {
    GetSecretValue {
        secret_id: secret_id(name),
        version_id: version.map(version_id),
        version_stage: label.map(stage),
    }
}

/// Moves a label.
pub fn move_stage(name: &str, label: &str, from: Option<u64>, to: Option<u64>) -> UpdateSecretVersionStage {
    UpdateSecretVersionStage {
        secret_id: secret_id(name),
        stage: stage(label),
        remove_from: from.map(version_id),
        move_to: to.map(version_id),
    }
}

/// Deletes a secret: after a week, or at once.
pub fn delete(name: &str, is_immediate: bool) -> DeleteSecret {
    let mode = if is_immediate { DeletionMode::Immediate } else { DeletionMode::Recoverable { days: 7 } };
    DeleteSecret { secret_id: secret_id(name), mode }
}

/// Takes back a scheduled deletion.
pub fn restore(name: &str) -> RestoreSecret {
    RestoreSecret { secret_id: secret_id(name) }
}

/// Tells everything of a secret but its value.
pub fn describe(name: &str) -> DescribeSecret {
    DescribeSecret { secret_id: secret_id(name) }
}

/// Attaches tags, written `key=value`.
pub fn tag(name: &str, pairs: &[&str]) -> TagResource {
    let tag = |pair: &&str| {
        let (key, value) = pair.split_once('=').expect("key=value");
        Tag::new(key, value).expect("a tag")
    };
    TagResource { secret_id: secret_id(name), tags: pairs.iter().map(tag).collect() }
}

/// Removes tags.
pub fn untag(name: &str, keys: &[&str]) -> UntagResource {
    UntagResource { secret_id: secret_id(name), tag_keys: keys.iter().map(|key| (*key).to_owned()).collect() }
}

/// Changes a description, a value, or both.
pub fn update(name: &str, description: Option<&str>, version: Option<(u64, &str)>) -> UpdateSecret {
    UpdateSecret {
        secret_id: secret_id(name),
        description: description.map(str::to_owned),
        kms_key_id: None,
        version: version
            .map(|(token, value)| UpdatedVersion { token: version_id(token), value: text(value) }),
    }
}

impl World {
    /// [`create`], done.
    pub fn create(&self, name: &str, token: u64, value: Option<&str>) -> Result<CreatedSecret, Error> {
        self.run(create(name, token, value))
    }

    /// [`put`], done.
    pub fn put(
        &self,
        name: &str,
        token: u64,
        value: &str,
        stages: Option<&[&str]>,
    ) -> Result<PutVersion, Error> {
        self.run(put(name, token, value, stages))
    }

    /// [`get`], done: the value as text.
    pub fn get(&self, name: &str, version: Option<u64>, label: Option<&str>) -> Result<String, Error> {
        let read = self.run(get(name, version, label))?;
        Ok(String::from_utf8_lossy(read.value.bytes().expose_secret()).into_owned())
    }

    /// [`move_stage`], done.
    pub fn move_stage(
        &self,
        name: &str,
        label: &str,
        from: Option<u64>,
        to: Option<u64>,
    ) -> Result<SecretReference, Error> {
        self.run(move_stage(name, label, from, to))
    }

    /// [`delete`], done.
    pub fn delete(&self, name: &str, is_immediate: bool) -> Result<DeletedSecret, Error> {
        self.run(delete(name, is_immediate))
    }

    /// [`restore`], done.
    pub fn restore(&self, name: &str) -> Result<SecretReference, Error> {
        self.run(restore(name))
    }

    /// [`describe`], done.
    pub fn describe(&self, name: &str) -> Result<SecretDescription, Error> {
        self.run(describe(name))
    }

    /// All secrets, those included that wait for their deletion, in order of creation.
    pub fn secrets(&self, max_results: u32) -> Result<Vec<SecretDescription>, Error> {
        let (mut secrets, mut next_token) = (Vec::new(), None);
        loop {
            let page = self.run(ListSecrets {
                include_planned_deletion: true,
                max_results,
                next_token,
                ..Default::default()
            })?;
            secrets.extend(page.secrets);
            next_token = page.next_token;
            if next_token.is_none() {
                return Ok(secrets);
            }
        }
    }

    /// All versions of a secret, those included without labels, oldest first.
    pub fn versions(&self, name: &str, max_results: u32) -> Result<Vec<VersionDescription>, Error> {
        let (mut versions, mut next_token) = (Vec::new(), None);
        loop {
            let page = self.run(ListSecretVersionIds {
                secret_id: secret_id(name),
                include_deprecated: true,
                max_results,
                next_token,
            })?;
            versions.extend(page.versions);
            next_token = page.next_token;
            if next_token.is_none() {
                return Ok(versions);
            }
        }
    }
}
