//! Any text is a policy document or none; a document can be compiled and asked.
#![no_main]

use std::sync::Arc;

use coffer_policy::{
    ContextMap, Document, DocumentKind, Policies, Policy, Principal, Request, ResourcePolicy, evaluate,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str, &str, &str)| {
    let (text, action, resource, value) = texts;
    for kind in [
        DocumentKind::Managed,
        DocumentKind::Inline,
        DocumentKind::Resource,
        DocumentKind::Trust,
        DocumentKind::Session,
        DocumentKind::ServiceControl,
    ] {
        let Ok(document) = Document::parse(text, kind) else { continue };
        let policy = Arc::new(Policy::compile("policy", &document));
        let mut context = ContextMap::new();
        for key in policy.condition_keys() {
            context.set(key, value);
        }
        let policies = Policies {
            identity: &[Arc::clone(&policy)],
            resource: ResourcePolicy::Optional(&policy),
            ..Policies::default()
        };
        let request = Request { principal: Principal::Anonymous, action, resource, context: &context };
        let _ = evaluate(&policies, &request);
    }
});
