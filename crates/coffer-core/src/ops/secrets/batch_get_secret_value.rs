//! Reading several values.
//!
//! A batch is a list of operations put through the gate one by one. First the batch itself, which asks only whether
//! the caller may ask for several at once; then each value. So no value is read that could not be read alone, and
//! the log tells of each.

use coffer_audit::Members;
use coffer_types::SecretId;

use super::find::action;
use super::list_secrets::write_filters;
use super::{Batch, BatchGetSecretValue, BatchOfValues, GetSecretValue, ListSecrets, SortBy};
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Core, Error};

impl Operation for BatchGetSecretValue {
    type Found = ();
    type Output = Batch;
    const NAME: OperationName = OperationName { name: "BatchGetSecretValue", read_only: true };

    fn parameters(&self, members: &mut Members<'_>) {
        match &self.batch {
            Batch::Listed(ids) => members.texts("secretIdList", ids),
            Batch::Filtered { filters, max_results, .. } => {
                write_filters(members, filters);
                members.json("maxResults", max_results);
            }
        }
    }

    async fn find(&self, _: &Context, _: &mut View) -> Result<(), Error> {
        Ok(())
    }

    fn requires(&self, _: &Context, (): &()) -> Requirements {
        Requirements(vec![Requirement {
            action: action("BatchGetSecretValue"),
            resource: "*".into(),
            as_supplied: "*".into(),
            trust: None,
        }])
    }

    fn run(&self, _: &Context, _: Grant<()>, _: &mut Transaction<'_>) -> Result<Batch, Error> {
        Ok(self.batch.clone())
    }
}

impl Core {
    /// Reads several values. One that can't be read is told among the others, and is no failure of the batch; that
    /// coffer itself can't serve is.
    pub async fn read_batch(
        &self,
        context: &Context,
        operation: BatchGetSecretValue,
    ) -> Result<BatchOfValues, Error> {
        let (ids, next_token) = match self.execute(context, operation).await? {
            Batch::Listed(ids) => (ids, None),
            Batch::Filtered { filters, max_results, next_token } => {
                let listing = ListSecrets {
                    filters,
                    include_planned_deletion: false,
                    sort_by: SortBy::CreatedDate,
                    descending: false,
                    max_results,
                    next_token,
                };
                let page = self.execute(context, listing).await?;
                let id = |arn: &coffer_types::SecretArn| SecretId::Arn {
                    region: arn.region.clone(),
                    account: arn.account,
                    name: arn.name.clone(),
                    suffix: Some(arn.suffix),
                };
                (page.secrets.iter().map(|secret| id(&secret.arn)).collect(), page.next_token)
            }
        };
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            let read = GetSecretValue { secret_id: id.clone(), version_id: None, version_stage: None };
            match self.execute(context, read).await {
                Err(error @ Error::Unavailable(_)) => return Err(error),
                answer => answers.push((id, answer)),
            }
        }
        Ok(BatchOfValues { answers, next_token })
    }
}
