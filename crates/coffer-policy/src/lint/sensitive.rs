//! Permissions that are worth a condition, or a narrower resource.

use crate::catalog::{Action, Level};
use crate::document::{Document, DocumentKind, Effect, PrincipalNameKind, Statement};

use super::{Findings, Lint, action_pattern, full_name, is_trust};

/// An action, the keys of which one should be looked at, and why.
const CONDITIONS: [(&str, &[&str], &str, &str); 3] = [
    (
        "iam:passrole",
        &["iam:passedtoservice", "iam:associatedresourcearn"],
        "`iam:PassRole` lets its holder give the role to any service",
        "add \"StringEquals\": {\"iam:PassedToService\": \"…\"}",
    ),
    (
        "kms:creategrant",
        &["kms:grantisforawsresource", "kms:grantoperations", "kms:granteeprincipal", "kms:viaservice"],
        "`kms:CreateGrant` lets its holder give the key to others",
        "add \"Bool\": {\"kms:GrantIsForAWSResource\": \"true\"}",
    ),
    (
        "secretsmanager:putresourcepolicy",
        &["secretsmanager:blockpublicpolicy"],
        "`secretsmanager:PutResourcePolicy` lets its holder open the secret to everybody",
        "add \"Bool\": {\"secretsmanager:BlockPublicPolicy\": \"true\"}",
    ),
];

/// Actions with which their holder becomes whoever they like, if they may be done to everything.
const ESCALATIONS: [&str; 12] = [
    "iam:attachgrouppolicy",
    "iam:attachrolepolicy",
    "iam:attachuserpolicy",
    "iam:addusertogroup",
    "iam:createaccesskey",
    "iam:createpolicyversion",
    "iam:putgrouppolicy",
    "iam:putrolepolicy",
    "iam:putuserpolicy",
    "iam:setdefaultpolicyversion",
    "iam:updateassumerolepolicy",
    "sts:assumerole",
];

pub(super) fn lint(document: &Document, statement: &Statement, findings: &mut Findings) {
    if statement.effect != Effect::Allow || statement.actions.is_negated {
        return;
    }
    if is_trust(document) {
        return lint_trust(statement, findings);
    }
    for (name, keys, message, advice) in CONDITIONS {
        let entry = statement.actions.entries.iter().find(|entry| action_pattern(entry).matches(name, &()));
        // Whoever allows everything is told so already.
        if let Some(entry) = entry.filter(|entry| !entry.text.ends_with('*'))
            && !has_key(statement, keys)
        {
            findings.add(Lint::MissingCondition, entry.position, message, advice);
        }
    }
    let services = statement.principals.iter().flat_map(|principals| &principals.entries);
    if document.kind == DocumentKind::Resource
        && let Some(service) = services.into_iter().find(|name| name.kind == PrincipalNameKind::Service)
        && !has_key(
            statement,
            &["aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"],
        )
    {
        findings.add(
            Lint::MissingCondition,
            service.name.position,
            format!("`{}` acts for every account that uses it", service.name.text),
            "add \"StringEquals\": {\"aws:SourceAccount\": \"…\"}, or aws:SourceArn",
        );
    }
}

/// A trust policy: somebody outside becomes the role.
fn lint_trust(statement: &Statement, findings: &mut Findings) {
    for principal in statement.principals.iter().flat_map(|principals| &principals.entries) {
        match principal.kind {
            PrincipalNameKind::Federated => {
                let provider =
                    principal.name.text.rsplit("oidc-provider/").next().unwrap_or_default().to_lowercase();
                let subject = format!("{provider}:sub");
                let is_saml = principal.name.text.contains(":saml-provider/");
                if !is_saml
                    && !statement.conditions.iter().any(|condition| {
                        condition.key.text.to_ascii_lowercase().ends_with(":sub")
                            || condition.key.text.eq_ignore_ascii_case(&subject)
                    })
                {
                    findings.add(
                        Lint::MissingCondition,
                        principal.name.position,
                        format!("everybody with a token of `{provider}` can become this role"),
                        format!("add \"StringLike\": {{\"{subject}\": \"…\"}}"),
                    );
                }
            }
            PrincipalNameKind::Account
                if !has_key(
                    statement,
                    &["sts:externalid", "aws:principalarn", "aws:principalorgid", "aws:sourceip"],
                ) =>
            {
                findings.add(
                    Lint::MissingCondition,
                    principal.name.position,
                    format!(
                        "every principal of `{}` that its account lets can become this role",
                        principal.name.text
                    ),
                    "name the users or roles; for somebody else's account, require sts:ExternalId",
                );
            }
            PrincipalNameKind::Everybody
            | PrincipalNameKind::Account
            | PrincipalNameKind::Arn
            | PrincipalNameKind::UniqueId
            | PrincipalNameKind::Service
            | PrincipalNameKind::CanonicalUser => {}
        }
    }
}

/// A permission on every resource, without a condition.
pub(super) fn every_resource(statement: &Statement, actions: &[&Action], findings: &mut Findings) {
    if statement.actions.is_negated {
        return;
    }
    let Some(resources) = &statement.resources else { return };
    let Some(everything) = resources.entries.iter().find(|resource| resource.text == "*") else { return };
    let position = everything.position;
    let escalation = actions.iter().find(|action| ESCALATIONS.contains(&full_name(action).as_str()));
    if let Some(action) = escalation {
        let message =
            format!("with `{}:{}` on everything its holder can become anybody", action.service, action.name);
        findings.add(
            Lint::EveryResource,
            position,
            message,
            "name the users, roles or policies that it is for",
        );
        return;
    }
    let worth = actions.iter().find(|action| match action.level {
        Level::Read => {
            matches!(action.name, "GetSecretValue" | "Decrypt" | "BatchGetSecretValue")
                && action.has_resources
        }
        Level::Write | Level::Tagging | Level::Permissions => action.has_resources,
        Level::List => false,
    });
    if let Some(action) = worth {
        let message = format!("`{}:{}` is allowed on every resource", action.service, action.name);
        let advice = match action.service {
            "secretsmanager" => {
                "name the secrets, such as arn:aws:secretsmanager:us-east-1:123456789012:secret:app/*"
            }
            "kms" => "name the keys, or add a condition on kms:ViaService",
            _ => "name the resources",
        };
        findings.add(Lint::EveryResource, position, message, advice);
    }
}

fn has_key(statement: &Statement, keys: &[&str]) -> bool {
    statement
        .conditions
        .iter()
        .any(|condition| keys.contains(&condition.key.text.to_ascii_lowercase().as_str()))
}
