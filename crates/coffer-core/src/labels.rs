//! Staging labels: which version of a secret a name like `AWSCURRENT` points at.
//!
//! Pure. Invariant: each label points at exactly one version. Whenever `AWSCURRENT` moves, `AWSPREVIOUS` moves to
//! the version it left (service model, PutSecretValue and UpdateSecretVersionStage).

use std::collections::BTreeMap;

use coffer_types::{Stage, VersionId, limits};

use crate::Error;
use crate::records::VersionReference;

pub(crate) type Labels = BTreeMap<Stage, VersionReference>;

/// Puts a label on a version, away from the one that has it.
fn attach(labels: &mut Labels, stage: &Stage, to: &VersionReference) {
    let left = labels.insert(stage.clone(), to.clone());
    if stage.as_str() != Stage::CURRENT {
        return;
    }
    if let Some(left) = left.filter(|left| left != to) {
        labels.insert(Stage::previous(), left);
    }
}

/// Labels a new version. Without wishes it becomes current; the first version becomes current in any case.
pub(crate) fn label_new_version(
    labels: &mut Labels,
    wishes: Option<&[Stage]>,
    version: &VersionReference,
) -> Result<(), Error> {
    let current = [Stage::current()];
    let wishes = wishes.unwrap_or(&current);
    // AWSCURRENT last: a wish for AWSPREVIOUS beside it is for the version that is left.
    let (current_wish, others): (Vec<_>, Vec<_>) =
        wishes.iter().partition(|stage| stage.as_str() == Stage::CURRENT);
    for stage in others {
        attach(labels, stage, version);
    }
    if !current_wish.is_empty() || !labels.contains_key(Stage::CURRENT) {
        attach(labels, &Stage::current(), version);
    }
    check_count(labels)
}

/// What UpdateSecretVersionStage asks for.
pub(crate) struct Move<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) remove_from: Option<&'a VersionId>,
    pub(crate) move_to: Option<&'a VersionReference>,
}

/// Moves, attaches or detaches a label. The version that has it must be named.
pub(crate) fn move_label(
    labels: &mut Labels,
    Move { stage, remove_from, move_to }: Move<'_>,
) -> Result<(), Error> {
    let holder = labels.get(stage).cloned();
    match (&holder, remove_from) {
        (Some(holder), Some(named)) if holder.id != *named => {
            return Err(Error::StageNotThere { stage: stage.clone(), version: named.clone() });
        }
        (None, Some(named)) => {
            return Err(Error::StageNotThere { stage: stage.clone(), version: named.clone() });
        }
        (Some(holder), None) if move_to != Some(holder) => {
            return Err(Error::StageElsewhere { stage: stage.clone(), version: holder.id.clone() });
        }
        _ => {}
    }
    match move_to {
        Some(to) => attach(labels, stage, to),
        None if stage.as_str() == Stage::CURRENT => return Err(Error::CurrentCannotBeRemoved),
        None => {
            labels.remove(stage);
        }
    }
    check_count(labels)
}

fn check_count(labels: &Labels) -> Result<(), Error> {
    if labels.len() > limits::STAGES_PER_SECRET_MAX {
        let most = limits::STAGES_PER_SECRET_MAX;
        return Err(Error::LimitExceeded(format!(
            "You can't attach more than {most} staging labels to a secret."
        )));
    }
    Ok(())
}
