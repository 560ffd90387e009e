//! Requests about users, groups, roles and policies: what they mean to core.
//!
//! No I/O of its own.

use std::marker::PhantomData;
use std::str::FromStr;

use coffer_core::ops::iam::{
    AddUserToGroup, AttachPolicy, CreateAccessKey, CreateGroup, CreatePolicy, CreatePolicyVersion,
    CreateRole, CreateUser, DeleteAccessKey, DeleteGroup, DeleteInlinePolicy, DeletePolicy,
    DeletePolicyVersion, DeleteRole, DeleteUser, Described, DescribedPolicy, DescribedRole, DetachPolicy,
    GetAccessKeyLastUsed, GetGroup, GetInlinePolicy, GetPolicy, GetPolicyVersion, GetRole, GetUser,
    ListAccessKeys, ListAttachedPolicies, ListGroups, ListGroupsForUser, ListInlinePolicies, ListPolicies,
    ListPolicyVersions, ListRoles, ListUsers, OfGroup, OfRole, OfUser, Page, Paged, PolicyScope, PutPolicy,
    RemoveUserFromGroup, UpdateAccessKey, UpdateAssumeRolePolicy,
};
use coffer_core::ops::review;
use coffer_core::{Context, Core, Error};
use coffer_policy::{Document, DocumentKind};
use coffer_types::iam_limits::{PAGE_ITEMS_MAX, SESSION_SECONDS_MIN};
use coffer_types::{EntityName, EntityPath, PolicyArn, Region, SecretValue, Timestamp};
use coffer_wire_local as wire;
use coffer_wire_local::{AccessRequest, AccessResponse, Failure, FailureKind, Holder, HolderKind, WireValue};

use super::audit::legal_text;
use super::{Failed, audit, providers, refused, secret_id_of};

/// What is recorded of a request that did not become an operation.
pub(super) const OPERATION: &str = "Access";

/// Runs the same for each kind of holder, which is a type to core.
macro_rules! for_kind {
    ($kind:expr, $Kind:ident => $body:expr) => {
        match $kind {
            HolderKind::User => {
                type $Kind = OfUser;
                $body
            }
            HolderKind::Group => {
                type $Kind = OfGroup;
                $body
            }
            HolderKind::Role => {
                type $Kind = OfRole;
                $body
            }
        }
    };
}

/// Does what is asked.
pub(super) async fn run(
    core: &Core,
    context: &Context,
    request: AccessRequest,
) -> Result<AccessResponse, Failed> {
    let done = AccessResponse::Done {};
    Ok(match request {
        AccessRequest::Create { holder, trust, description, session_seconds_max } => {
            let (name, path) = (entity_name(&holder.name)?, EntityPath::default());
            match holder.kind {
                HolderKind::User => {
                    let operation = CreateUser { name, path, boundary: None, tags: Vec::new() };
                    AccessResponse::Entity(entity(core.execute(context, operation).await?))
                }
                HolderKind::Group => {
                    let operation = CreateGroup { name, path };
                    AccessResponse::Entity(entity(core.execute(context, operation).await?))
                }
                HolderKind::Role => {
                    let trust =
                        trust.ok_or_else(|| refused(OPERATION, "a role has a trust policy".into()))?;
                    let trust = legal_document(trust, DocumentKind::Trust)?;
                    let operation = CreateRole {
                        name,
                        path,
                        trust,
                        description,
                        session_seconds_max: session_seconds_max.unwrap_or(SESSION_SECONDS_MIN),
                        boundary: None,
                        tags: Vec::new(),
                    };
                    AccessResponse::Entity(role(core.execute(context, operation).await?))
                }
            }
        }
        AccessRequest::TrustIssuer { url, audience } => {
            providers::trust_issuer(core, context, &url, audience).await?
        }
        AccessRequest::ListProviders {} => providers::list(core, context).await?,
        AccessRequest::GetProvider { issuer } => {
            AccessResponse::Provider(providers::get(core, context, &issuer).await?)
        }
        AccessRequest::DeleteProvider { issuer } => {
            providers::delete(core, context, &issuer).await?;
            done
        }
        AccessRequest::Get { holder } => {
            let name = entity_name(&holder.name)?;
            AccessResponse::Entity(match holder.kind {
                HolderKind::User => entity(core.execute(context, GetUser { name: Some(name) }).await?),
                HolderKind::Group => {
                    entity(core.execute(context, GetGroup { name, page: page(None) }).await?.group)
                }
                HolderKind::Role => role(core.execute(context, GetRole { name }).await?),
            })
        }
        AccessRequest::List { kind, marker } => {
            let (path_prefix, page) = ("/".to_owned(), page(marker));
            AccessResponse::Entities(match kind {
                HolderKind::User => {
                    entities(core.execute(context, ListUsers { path_prefix, page }).await?, entity)
                }
                HolderKind::Group => {
                    entities(core.execute(context, ListGroups { path_prefix, page }).await?, entity)
                }
                HolderKind::Role => {
                    entities(core.execute(context, ListRoles { path_prefix, page }).await?, role)
                }
            })
        }
        AccessRequest::Delete { holder } => {
            let name = entity_name(&holder.name)?;
            match holder.kind {
                HolderKind::User => core.execute(context, DeleteUser { name }).await?,
                HolderKind::Group => core.execute(context, DeleteGroup { name }).await?,
                HolderKind::Role => core.execute(context, DeleteRole { name }).await?,
            };
            done
        }
        AccessRequest::CreateAccessKey { user } => {
            let user = Some(entity_name(&user)?);
            let created = core.execute(context, CreateAccessKey { user }).await?;
            let secret = SecretValue::string(created.secret);
            let secret = secret.ok_or_else(|| Error::unavailable("the secret of an access key is a text"))?;
            AccessResponse::NewAccessKey(wire::NewAccessKey {
                id: created.key.id,
                user: created.key.user,
                secret: WireValue(secret),
            })
        }
        AccessRequest::ListAccessKeys { user } => {
            let user = Some(entity_name(&user)?);
            let listed = core.execute(context, ListAccessKeys { user, page: page(None) }).await?;
            let mut keys = Vec::with_capacity(listed.items.len());
            for key in listed.items {
                let used = core.execute(context, GetAccessKeyLastUsed { id: key.id.clone() }).await?;
                keys.push(wire::AccessKey {
                    id: key.id,
                    is_active: key.is_active,
                    created: key.created,
                    last_used: last_use(used.last),
                });
            }
            keys.sort_by_key(|key| key.created);
            AccessResponse::AccessKeys { keys }
        }
        AccessRequest::UpdateAccessKey { user, id, is_active } => {
            let user = Some(entity_name(&user)?);
            core.execute(context, UpdateAccessKey { user, id: key_id(id)?, is_active }).await?;
            done
        }
        AccessRequest::DeleteAccessKey { user, id } => {
            let user = Some(entity_name(&user)?);
            core.execute(context, DeleteAccessKey { user, id: key_id(id)? }).await?;
            done
        }
        AccessRequest::FindAccessKey { id } => {
            let found = core.execute(context, GetAccessKeyLastUsed { id: key_id(id)? }).await?;
            AccessResponse::KeyOwner { user: found.user, last_used: last_use(found.last) }
        }
        AccessRequest::UpdateTrust { role, trust, expected } => {
            let trust = legal_document(trust, DocumentKind::Trust)?;
            let operation = UpdateAssumeRolePolicy { name: entity_name(&role)?, trust, expected };
            core.execute(context, operation).await?;
            done
        }
        AccessRequest::AddUserToGroup { group, user } => {
            let operation = AddUserToGroup { group: entity_name(&group)?, user: entity_name(&user)? };
            core.execute(context, operation).await?;
            done
        }
        AccessRequest::RemoveUserFromGroup { group, user } => {
            let operation = RemoveUserFromGroup { group: entity_name(&group)?, user: entity_name(&user)? };
            core.execute(context, operation).await?;
            done
        }
        AccessRequest::ListGroupsForUser { user } => {
            let operation = ListGroupsForUser { user: entity_name(&user)?, page: page(None) };
            names(core.execute(context, operation).await?.items)
        }
        AccessRequest::ListUsersOfGroup { group } => {
            let operation = GetGroup { name: entity_name(&group)?, page: page(None) };
            names(core.execute(context, operation).await?.users.items)
        }
        AccessRequest::PutPolicy { holder: Holder { kind, name: holder }, name, document } => {
            let document = legal_document(document, DocumentKind::Inline)?;
            let (holder, name) = (entity_name(&holder)?, entity_name(&name)?);
            for_kind!(kind, Kind => {
                core.execute(context, PutPolicy::<Kind> { holder, name, document, kind: PhantomData }).await?
            });
            done
        }
        AccessRequest::GetInlinePolicy { holder: Holder { kind, name: holder }, name } => {
            let (holder, name) = (entity_name(&holder)?, entity_name(&name)?);
            let (name, document) = for_kind!(kind, Kind => {
                let operation = GetInlinePolicy::<Kind> { holder, name, kind: PhantomData };
                let policy = core.execute(context, operation).await?;
                (policy.name, policy.document)
            });
            AccessResponse::Policy(wire::Policy { name, arn: None, version: None, document })
        }
        AccessRequest::DeleteInlinePolicy { holder: Holder { kind, name: holder }, name } => {
            let (holder, name) = (entity_name(&holder)?, entity_name(&name)?);
            for_kind!(kind, Kind => {
                core.execute(context, DeleteInlinePolicy::<Kind> { holder, name, kind: PhantomData }).await?
            });
            done
        }
        AccessRequest::ListPoliciesOf { holder: Holder { kind, name: holder } } => {
            let holder = entity_name(&holder)?;
            let path_prefix = "/".to_owned();
            for_kind!(kind, Kind => {
                let operation = ListInlinePolicies::<Kind> {
                    holder: holder.clone(), page: page(None), kind: PhantomData,
                };
                let inline = core.execute(context, operation).await?.0.items;
                let operation = ListAttachedPolicies::<Kind> {
                    holder, path_prefix, page: page(None), kind: PhantomData,
                };
                let attached = core.execute(context, operation).await?.0.items;
                AccessResponse::PoliciesOf { inline, attached }
            })
        }
        AccessRequest::AttachPolicy { holder: Holder { kind, name: holder }, arn } => {
            let (holder, policy) = (entity_name(&holder)?, policy_arn(&arn)?);
            for_kind!(kind, Kind => {
                core.execute(context, AttachPolicy::<Kind> { holder, policy, kind: PhantomData }).await?
            });
            done
        }
        AccessRequest::DetachPolicy { holder: Holder { kind, name: holder }, arn } => {
            let (holder, policy) = (entity_name(&holder)?, policy_arn(&arn)?);
            for_kind!(kind, Kind => {
                core.execute(context, DetachPolicy::<Kind> { holder, policy, kind: PhantomData }).await?
            });
            done
        }
        AccessRequest::ListPolicies { with_aws, marker } => {
            let operation = ListPolicies {
                scope: if with_aws { PolicyScope::All } else { PolicyScope::Local },
                only_attached: false,
                path_prefix: "/".to_owned(),
                page: page(marker),
            };
            let listed = core.execute(context, operation).await?;
            let policies = listed.items.into_iter().map(policy_summary).collect();
            AccessResponse::Policies(wire::PolicyPage { policies, marker: listed.marker })
        }
        AccessRequest::CreatePolicy { name, document } => {
            let document = legal_document(document, DocumentKind::Managed)?;
            let operation = CreatePolicy {
                name: entity_name(&name)?,
                path: EntityPath::default(),
                document: document.clone(),
                description: None,
                tags: Vec::new(),
            };
            let made = core.execute(context, operation).await?;
            policy(made, document)
        }
        AccessRequest::CreatePolicyVersion { arn, document } => {
            let document = legal_document(document, DocumentKind::Managed)?;
            let arn = policy_arn(&arn)?;
            let operation =
                CreatePolicyVersion { arn: arn.clone(), document: document.clone(), set_as_default: true };
            let version = core.execute(context, operation).await?;
            AccessResponse::Policy(wire::Policy {
                name: arn.name.to_string(),
                arn: Some(arn.to_string()),
                version: Some(version.number),
                document,
            })
        }
        AccessRequest::GetPolicy { arn } => {
            let arn = policy_arn(&arn)?;
            let found = core.execute(context, GetPolicy { arn: arn.clone() }).await?;
            let operation = GetPolicyVersion { arn, number: found.default_version };
            let version = core.execute(context, operation).await?;
            policy(found, version.document.unwrap_or_default())
        }
        AccessRequest::ListPolicyVersions { arn } => {
            let operation = ListPolicyVersions { arn: policy_arn(&arn)?, page: page(None) };
            let listed = core.execute(context, operation).await?;
            let versions = listed.items.into_iter().map(|version| (version.number, version.is_default));
            AccessResponse::Versions { versions: versions.collect() }
        }
        AccessRequest::DeletePolicyVersion { arn, number } => {
            core.execute(context, DeletePolicyVersion { arn: policy_arn(&arn)?, number }).await?;
            done
        }
        AccessRequest::DeletePolicy { arn } => {
            core.execute(context, DeletePolicy { arn: policy_arn(&arn)? }).await?;
            done
        }
        AccessRequest::WhoCan { secret_id, action } => {
            let secret_id = secret_id_of("WhoCan", &secret_id)?;
            let action = legal_text("WhoCan", action, b":", "no action")?;
            let able = core.execute(context, review::WhoCan { secret_id, action }).await?;
            AccessResponse::WhoCan(wire::Able {
                arn: able.resource,
                ways: able.ways.into_iter().map(way).collect(),
            })
        }
        AccessRequest::ExplainDenial { request_id, secret_id, who } => {
            let filter = wire::RecordFilter { request_id, secret_id, who, ..wire::RecordFilter::default() };
            let filter = audit::filter("ExplainDenial", filter)?;
            let explained = core.execute(context, review::ExplainDenial { filter }).await?;
            AccessResponse::Explanation(explained.map(|explained| Box::new(explanation(explained))))
        }
    })
}

fn page(marker: Option<String>) -> Page {
    Page { max_items: PAGE_ITEMS_MAX, marker }
}

fn entity(described: Described) -> wire::Entity {
    let Described { name, path: _, id, arn, created, tags, boundary } = described;
    wire::Entity { name, arn, id, created, tags, boundary, role: None }
}

fn role(described: DescribedRole) -> wire::Entity {
    let facts = wire::RoleFacts {
        trust: described.trust,
        description: described.description,
        session_seconds_max: described.session_seconds_max,
    };
    wire::Entity { role: Some(facts), ..entity(described.entity) }
}

fn entities<T>(page: Paged<T>, describe: impl Fn(T) -> wire::Entity) -> wire::EntityPage {
    wire::EntityPage { entities: page.items.into_iter().map(describe).collect(), marker: page.marker }
}

fn last_use(last: Option<(Timestamp, Region, String)>) -> Option<wire::LastUse> {
    last.map(|(at, region, service)| wire::LastUse { at, service, region })
}

fn names(described: Vec<Described>) -> AccessResponse {
    AccessResponse::Names { names: described.into_iter().map(|described| described.name).collect() }
}

fn policy(described: DescribedPolicy, document: String) -> AccessResponse {
    AccessResponse::Policy(wire::Policy {
        name: described.entity.name,
        arn: Some(described.entity.arn),
        version: Some(described.default_version),
        document,
    })
}

fn policy_summary(described: DescribedPolicy) -> wire::PolicySummary {
    wire::PolicySummary {
        name: described.entity.name,
        arn: described.entity.arn,
        version: described.default_version,
        attachments: described.attachments,
        updated: described.updated,
    }
}

fn place(place: review::StatementPlace) -> wire::StatementPlace {
    let review::StatementPlace { policy, holder, number, sid, position } = place;
    let (line, column) = (position.line, position.column);
    wire::StatementPlace { policy, holder, statement: number, sid, line, column }
}

fn way(way: review::Way) -> wire::Way {
    let review::Way { arn, by, conditions, trusted, taken_on } = way;
    wire::Way { arn, through: by.map(place), conditions, trusted, taken_on }
}

fn explanation(explained: review::Explanation) -> wire::Explanation {
    let considered = explained.considered.into_iter().map(|considered| wire::Considered {
        place: place(considered.place),
        allows: considered.allows,
        is_boundary: considered.is_boundary,
        applies: considered.applies,
        why: considered.why,
    });
    wire::Explanation {
        time: explained.time,
        request_id: explained.request_id,
        event_name: explained.event_name,
        principal: explained.principal,
        is_gone: explained.is_gone,
        action: explained.action,
        resource: explained.resource,
        reason: explained.reason,
        considered: considered.collect(),
        now: match explained.now {
            review::Verdict::Allowed => wire::Verdict::Allowed,
            review::Verdict::NotAllowed => wire::Verdict::NotAllowed,
            review::Verdict::OutOfBounds => wire::Verdict::OutOfBounds,
            review::Verdict::Denied => wire::Verdict::Denied,
            review::Verdict::NoSecret => wire::Verdict::NoSecret,
            review::Verdict::NoRole => wire::Verdict::NoRole,
            review::Verdict::NotTrusted => wire::Verdict::NotTrusted,
            review::Verdict::NoProvider => wire::Verdict::NoProvider,
            review::Verdict::OutOfSession => wire::Verdict::OutOfSession,
            review::Verdict::NotForSessions => wire::Verdict::NotForSessions,
            review::Verdict::NotAuthenticated => wire::Verdict::NotAuthenticated,
        },
        document: explained.advice,
        conditions: explained.conditions,
        access_key: explained.access_key.map(|(id, state, user)| wire::RefusedKey {
            id,
            state: match state {
                review::KeyState::Disabled => wire::KeyState::Disabled,
                review::KeyState::Active => wire::KeyState::Active,
                review::KeyState::Session { is_over: true } => wire::KeyState::SessionOver,
                review::KeyState::Session { is_over: false } => wire::KeyState::Session,
                review::KeyState::Unknown => wire::KeyState::Unknown,
            },
            user,
        }),
    }
}

fn entity_name(text: &str) -> Result<EntityName, Failed> {
    legal(text, "no name of a user, group, role or policy")
}

fn policy_arn(text: &str) -> Result<PolicyArn, Failed> {
    legal(text, "no ARN of a policy")
}

/// The id of an access key, as far as its form goes: what has another, a value for one, comes into no record.
fn key_id(text: String) -> Result<String, Failed> {
    legal_text(OPERATION, text, b"_", "no id of an access key: one has letters and digits")
}

/// A document that is a policy. Core would say so too, and record what is none.
fn legal_document(text: String, kind: DocumentKind) -> Result<String, Failed> {
    match Document::parse(&text, kind) {
        Ok(_) => Ok(text),
        // How long it may be is core's to say: for some that is a quota.
        Err(error) if error.size_limit().is_some() => Ok(text),
        Err(error) => {
            let failure = Failure::new(FailureKind::Refused, error.aws_message());
            let recorded = "what was given is no policy".to_owned();
            Err(Failed::Input { operation: OPERATION, failure, recorded })
        }
    }
}

/// `text` as what it should be. The record says what it is not, and does not repeat it.
pub(super) fn legal<T: FromStr<Err: std::fmt::Display>>(text: &str, otherwise: &str) -> Result<T, Failed> {
    text.parse().map_err(|error| {
        let shown: String = text.chars().take(128).collect();
        let message = format!("`{}` is {otherwise}: {error}", shown.escape_debug());
        let failure = Failure::new(FailureKind::Refused, message);
        Failed::Input { operation: OPERATION, failure, recorded: format!("what was given is {otherwise}") }
    })
}
