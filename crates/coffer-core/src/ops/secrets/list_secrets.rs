//! Listing secrets.

use coffer_audit::Members;
use coffer_types::Filter;
use coffer_types::limits::PAGE_ENTRIES_MAX;

use super::find::action;
use super::listing::{Listed, Listing};
use super::{ListSecrets, SecretDescription, SecretPage, SortBy};
use crate::access::{WHOLE_SECRET, last_access};
use crate::gate::{Grant, Operation, OperationName, Requirement, Requirements};
use crate::records::view::View;
use crate::transaction::Transaction;
use crate::{Context, Error};

/// The first page of everything that waits for no deletion, as AWS lists it if nothing else is asked for.
impl Default for ListSecrets {
    fn default() -> Self {
        Self {
            filters: Vec::new(),
            include_planned_deletion: false,
            sort_by: SortBy::CreatedDate,
            descending: false,
            max_results: PAGE_ENTRIES_MAX,
            next_token: None,
        }
    }
}

impl SortBy {
    /// AWS's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreatedDate => "created-date",
            Self::LastAccessedDate => "last-accessed-date",
            Self::LastChangedDate => "last-changed-date",
            Self::Name => "name",
        }
    }
}

impl Operation for ListSecrets {
    type Found = SecretPage;
    type Output = SecretPage;
    const NAME: OperationName = OperationName { name: "ListSecrets", read_only: true };
    const FINDS_MORE: bool = true;

    fn parameters(&self, members: &mut Members<'_>) {
        write_filters(members, &self.filters);
        members.json("includePlannedDeletion", self.include_planned_deletion.then_some(true));
        members.json("maxResults", self.max_results);
        members
            .optional_text("sortBy", (self.sort_by != SortBy::CreatedDate).then_some(self.sort_by.as_str()));
        members.optional_text("sortOrder", self.descending.then_some("desc"));
    }

    /// It is about no secret of its own.
    async fn find(&self, _context: &Context, _view: &mut View) -> Result<SecretPage, Error> {
        Ok(SecretPage { secrets: Vec::new(), next_token: None })
    }

    fn requires(&self, _context: &Context, _found: &SecretPage) -> Requirements {
        let requirement = Requirement {
            action: action("ListSecrets"),
            resource: "*".into(),
            as_supplied: "*".into(),
            trust: None,
        };
        Requirements(vec![requirement])
    }

    /// A page may take a walk through all secrets, and none is taken for a stranger. Tells of a cursor that is none of
    /// ours too: the caller is allowed to list.
    async fn find_more(
        &self,
        context: &Context,
        view: &mut View,
        found: &mut SecretPage,
    ) -> Result<(), Error> {
        *found = self.page(context, view).await?;
        Ok(())
    }

    fn run(
        &self,
        _: &Context,
        grant: Grant<SecretPage>,
        _: &mut Transaction<'_>,
    ) -> Result<SecretPage, Error> {
        Ok(grant.into_found())
    }
}

impl ListSecrets {
    async fn page(&self, context: &Context, view: &mut View) -> Result<SecretPage, Error> {
        let listing = Listing {
            operation: "ListSecrets",
            filters: &self.filters,
            include_planned_deletion: self.include_planned_deletion,
            sort_by: self.sort_by,
            descending: self.descending,
            max_results: self.max_results,
            next_token: self.next_token.as_deref(),
        };
        let page = listing.page(context, view).await?;
        let mut secrets = Vec::with_capacity(page.secrets.len());
        for Listed { name, secret } in page.secrets {
            let last_accessed = last_access(view, secret.uid, WHOLE_SECRET).await?;
            let arn = secret.arn(context.account, &context.region, &name);
            secrets.push(SecretDescription { last_accessed, ..SecretDescription::of(&secret, arn) });
        }
        Ok(SecretPage { secrets, next_token: page.next_token })
    }
}

/// Filters for the record, if there are any.
pub(super) fn write_filters(members: &mut Members<'_>, filters: &[Filter]) {
    if !filters.is_empty() {
        members.objects("filters", filters, |filter, members| {
            members.text("key", filter.key().as_str());
            members.texts("values", filter.values());
        });
    }
}
