//! A question to the policy language, with every policy that applies to it, as JSON that a vector can hold.

use std::sync::Arc;

use coffer_policy::{
    ContextMap, Decision, Document, DocumentKind, ParseError, Policies, Policy, Principal, Request,
    ResourcePolicy, evaluate,
};
use serde_json::{Value, json};

/// A question and its policies. Every member but `action` and `resource` can be absent:
///
/// - `identity`, `session`: a list of documents; `boundary`: a document; `service_control`: a list of lists of documents;
/// - `resource_policy`: a document, with `resource_policy_required` if nothing is allowed without it;
/// - `other_account`: whether the resource is of another account than the principal;
/// - `principal`: its type in `type`, and what it has of `arn`, `role_arn`, `account`, `unique_id`, `name`, `provider`;
/// - `context`: values by key, a list for a key that can have several.
#[derive(Clone, Debug)]
pub struct Case(pub Value);

impl Case {
    /// A member as text.
    pub(super) fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap_or_default()
    }

    /// A list of documents, if the member is there.
    pub(super) fn documents(&self, member: &str) -> Option<Vec<Value>> {
        self.0[member].as_array().cloned()
    }

    fn principal(&self) -> Principal<'_> {
        let of = |member: &str| self.0["principal"][member].as_str().unwrap_or_default();
        match of("type") {
            "root" => Principal::Root { account: of("account") },
            "user" => Principal::User { arn: of("arn"), account: of("account"), unique_id: of("unique_id") },
            "role session" => Principal::RoleSession {
                arn: of("arn"),
                role_arn: of("role_arn"),
                account: of("account"),
                unique_id: of("unique_id"),
            },
            "federated user" => Principal::FederatedUser { arn: of("arn"), account: of("account") },
            "service" => Principal::Service { name: of("name") },
            "federated" => Principal::Federated { provider: of("provider") },
            _ => Principal::Anonymous,
        }
    }

    fn context(&self) -> ContextMap {
        let mut context = ContextMap::new();
        for (key, value) in self.0["context"].as_object().into_iter().flatten() {
            match value {
                Value::Array(values) => context.set_list(key, values.iter().filter_map(Value::as_str)),
                value => context.set(key, value.as_str().unwrap_or_default()),
            }
        }
        context
    }
}

fn compile(document: &Value, kind: DocumentKind) -> Result<Arc<Policy>, ParseError> {
    Ok(Arc::new(Policy::compile("policy", &Document::parse(&document.to_string(), kind)?)))
}

fn compile_all(documents: &[Value], kind: DocumentKind) -> Result<Vec<Arc<Policy>>, ParseError> {
    documents.iter().map(|document| compile(document, kind)).collect()
}

/// What the engine answers: `allowed`, `denied` for a statement that denies, or `no …` with the kind of policy that is missing.
pub fn engine(case: &Case) -> Result<String, ParseError> {
    let identity = compile_all(&case.documents("identity").unwrap_or_default(), DocumentKind::Inline)?;
    let session = case.documents("session").map(|documents| compile_all(&documents, DocumentKind::Session));
    let session = session.transpose()?;
    let optional = |member: &str, kind| match &case.0[member] {
        Value::Null => Ok(None),
        document => compile(document, kind).map(Some),
    };
    let boundary = optional("boundary", DocumentKind::Inline)?;
    let resource = optional("resource_policy", DocumentKind::Resource)?;
    let levels = case.0["service_control"].as_array().cloned().unwrap_or_default();
    let levels = levels
        .iter()
        .map(|level| compile_all(level.as_array().map_or(&[], Vec::as_slice), DocumentKind::ServiceControl));
    let levels: Vec<Vec<Arc<Policy>>> = levels.collect::<Result<_, _>>()?;
    let levels: Vec<&[Arc<Policy>]> = levels.iter().map(Vec::as_slice).collect();
    let policies = Policies {
        identity: &identity,
        resource: match &resource {
            None => ResourcePolicy::None,
            Some(policy) if case.0["resource_policy_required"] == json!(true) => {
                ResourcePolicy::Required(policy)
            }
            Some(policy) => ResourcePolicy::Optional(policy),
        },
        boundary: boundary.as_deref(),
        session: session.as_deref(),
        service_control: &levels,
        is_same_account: case.0["other_account"] != json!(true),
    };
    let context = case.context();
    let request = Request {
        principal: case.principal(),
        action: case.text("action"),
        resource: case.text("resource"),
        context: &context,
    };
    Ok(match evaluate(&policies, &request) {
        Decision::Allowed(_) | Decision::AllowedToOwner => "allowed".into(),
        Decision::ExplicitlyDenied(_) => "denied".into(),
        Decision::ImplicitlyDenied(kind) => format!("no {kind}"),
    })
}
