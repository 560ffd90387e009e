//! Reads documents: JSON first, then the grammar of the policy language.
//!
//! Pure. Strangers' bytes arrive here: nothing is trusted, nothing panics, and the first fault found is the answer. The order
//! of the checks is that of AWS's answers: syntax of the whole document, then version, statement ids, actions, resources.

use std::collections::BTreeSet;

use crate::document::{
    Condition, Document, DocumentKind, Effect, Listed, PrincipalName, PrincipalNameKind, Spelled, Statement,
    Version,
};
use crate::error::{ParseError, Reason};
use crate::json::{self, Member, Node, Position, Value};
use crate::operator::{Comparison, Operator};
use crate::pattern;
use crate::scalar;

/// No text is looked at that is longer, white space included: AWS's limit for the parameter.
const TEXT_MAX: usize = 131_072;

pub(crate) fn document(text: &str, kind: DocumentKind) -> Result<Document, ParseError> {
    let start = Position { line: 1, column: 1 };
    if text.len() > TEXT_MAX {
        let what = format!("the document has more than {TEXT_MAX} bytes");
        return Err(ParseError::new(start, Reason::TooLarge { limit: kind.size_max() }, what));
    }
    let node = json::read(text).map_err(|fault| syntax(fault.at, fault.what))?;
    let document =
        Document { size: text.chars().filter(|c| !is_space(*c)).count(), ..read_document(node, kind)? };
    judge(&document)?;
    if document.size > kind.size_max() {
        let what = format!(
            "the document has {} characters, of which {} are allowed",
            document.size,
            kind.size_max()
        );
        return Err(ParseError::new(start, Reason::TooLarge { limit: kind.size_max() }, what)
            .hint("use wildcards, or spread it over several policies; white space does not count"));
    }
    Ok(document)
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

fn syntax(at: Position, what: impl Into<String>) -> ParseError {
    ParseError::new(at, Reason::Syntax, what)
}

fn read_document(node: Node, kind: DocumentKind) -> Result<Document, ParseError> {
    let at = node.at;
    let Value::Object(members) = node.value else {
        return Err(syntax(at, "a policy is an object"));
    };
    let (mut version, mut id, mut statements) = (Version::V2008, None, None);
    for Member { name, at, node } in members {
        match name.as_str() {
            "Version" => version = read_version(node)?,
            "Id" => id = Some(text(node, "an `Id`")?.text),
            "Statement" => statements = Some(read_statements(node)?),
            _ => {
                return Err(syntax(at, format!("unknown element `{name}`"))
                    .hint("a policy has Version, Id and Statement"));
            }
        }
    }
    let statements = statements
        .filter(|statements| !statements.is_empty())
        .ok_or_else(|| syntax(at, "a policy has at least one statement"))?;
    Ok(Document { kind, version, id, statements, size: 0 })
}

fn read_version(node: Node) -> Result<Version, ParseError> {
    let version = text(node, "a `Version`")?;
    match version.text.as_str() {
        "2012-10-17" => Ok(Version::V2012),
        "2008-10-17" => Ok(Version::V2008),
        other => Err(syntax(version.position, format!("unknown version `{other}`"))
            .hint("write \"Version\": \"2012-10-17\"")),
    }
}

fn read_statements(node: Node) -> Result<Vec<Statement>, ParseError> {
    match node.value {
        Value::List(nodes) => nodes.into_iter().map(read_statement).collect(),
        Value::Object(_) => Ok(vec![read_statement(node)?]),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
            Err(syntax(node.at, "`Statement` is an object or a list of objects"))
        }
    }
}

fn read_statement(node: Node) -> Result<Statement, ParseError> {
    let (position, end) = (node.at, node.end);
    let Value::Object(members) = node.value else {
        return Err(syntax(position, "a statement is an object"));
    };
    let (mut sid, mut effect, mut principals, mut actions, mut resources) = (None, None, None, None, None);
    let mut conditions = Vec::new();
    for Member { name, at, node } in members {
        let is_negated = name.starts_with("Not");
        match name.as_str() {
            "Sid" => sid = Some(text(node, "a `Sid`")?).filter(|sid| !sid.text.is_empty()),
            "Effect" => effect = Some(read_effect(node)?),
            "Principal" | "NotPrincipal" => {
                let entries = read_principals(node)?;
                once(&mut principals, Listed { is_negated, position: at, entries }, at, "Principal")?;
            }
            "Action" | "NotAction" => {
                let entries = texts(node, "an action")?;
                once(&mut actions, Listed { is_negated, position: at, entries }, at, "Action")?;
            }
            "Resource" | "NotResource" => {
                let entries = texts(node, "a resource")?;
                once(&mut resources, Listed { is_negated, position: at, entries }, at, "Resource")?;
            }
            "Condition" => conditions = read_conditions(node)?,
            _ => {
                return Err(syntax(at, format!("unknown element `{name}`")).hint(
                    "a statement has Sid, Effect, Principal, Action, Resource and Condition; names begin with capitals",
                ));
            }
        }
    }
    let effect = effect.ok_or_else(|| {
        syntax(position, "a statement has an `Effect`").hint("write \"Effect\": \"Allow\" or \"Deny\"")
    })?;
    // What is absent is judged later, after everything that is no syntax at all.
    let actions = actions.unwrap_or(Listed { is_negated: false, position, entries: Vec::new() });
    Ok(Statement { position, end, sid, effect, principals, actions, resources, conditions })
}

fn once<T>(place: &mut Option<T>, element: T, at: Position, name: &str) -> Result<(), ParseError> {
    if place.is_some() {
        return Err(syntax(at, format!("a statement has either `{name}` or `Not{name}`")));
    }
    *place = Some(element);
    Ok(())
}

fn read_effect(node: Node) -> Result<Effect, ParseError> {
    let effect = text(node, "an `Effect`")?;
    let what = format!("unknown effect `{}`", effect.text);
    match effect.text.as_str() {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        other => {
            let is_misspelled = other.eq_ignore_ascii_case("allow") || other.eq_ignore_ascii_case("deny");
            let reason = if is_misspelled { Reason::LegacyParsing } else { Reason::Syntax };
            Err(ParseError::new(effect.position, reason, what).hint("write Allow or Deny"))
        }
    }
}

fn read_principals(node: Node) -> Result<Vec<PrincipalName>, ParseError> {
    let members = match node.value {
        Value::Text(name) if name == "*" => {
            let name = Spelled { text: name, position: node.at };
            return Ok(vec![PrincipalName { kind: PrincipalNameKind::Everybody, name }]);
        }
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            let what = "a principal is `*`, or an object such as {\"AWS\": \"…\"}";
            return Err(ParseError::new(node.at, Reason::Principal, what));
        }
    };
    let mut principals = Vec::new();
    for Member { name: kind, at, node } in members {
        for name in texts(node, "a principal")? {
            let kind = match kind.as_str() {
                "AWS" => aws_principal(&name)?,
                "Service" if is_service(&name.text) => PrincipalNameKind::Service,
                "Federated" if !name.text.is_empty() => PrincipalNameKind::Federated,
                "CanonicalUser" if !name.text.is_empty() => PrincipalNameKind::CanonicalUser,
                "Service" | "Federated" | "CanonicalUser" => {
                    let what = format!("`{}` names no {kind} principal", name.text);
                    return Err(ParseError::new(name.position, Reason::Principal, what));
                }
                _ => {
                    return Err(ParseError::new(
                        at,
                        Reason::Principal,
                        format!("unknown type of principal `{kind}`"),
                    )
                    .hint("the types are AWS, Service, Federated and CanonicalUser"));
                }
            };
            principals.push(PrincipalName { kind, name });
        }
    }
    if principals.is_empty() {
        return Err(ParseError::new(node.at, Reason::Principal, "no principal is named"));
    }
    Ok(principals)
}

fn aws_principal(name: &Spelled) -> Result<PrincipalNameKind, ParseError> {
    let text = name.text.as_str();
    let is_account = |account: &str| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if text == "*" {
        return Ok(PrincipalNameKind::Everybody);
    }
    if is_account(text) {
        return Ok(PrincipalNameKind::Account);
    }
    let fault =
        || ParseError::new(name.position, Reason::Principal, format!("`{text}` names no AWS principal"));
    if text.contains(['*', '?']) {
        return Err(fault()
            .hint("a principal's name has no wildcards; use \"*\" with a condition on aws:PrincipalArn"));
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    if let ["arn", partition, service, "", account, resource] = parts.as_slice() {
        let of_iam = ["user/", "role/"]
            .iter()
            .any(|kind| resource.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
        let of_sts = ["assumed-role/", "federated-user/"]
            .iter()
            .any(|kind| resource.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
        return match *service {
            _ if partition.is_empty() || !is_account(account) => Err(fault()),
            "iam" if *resource == "root" => Ok(PrincipalNameKind::Account),
            "iam" if of_iam => Ok(PrincipalNameKind::Arn),
            "sts" if of_sts => Ok(PrincipalNameKind::Arn),
            _ => Err(fault().hint("a policy can name accounts, users, roles and sessions, but no group")),
        };
    }
    // A user's or a role's unique id.
    let is_id =
        text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if is_id && (text.starts_with("AIDA") || text.starts_with("AROA")) {
        return Ok(PrincipalNameKind::UniqueId);
    }
    Err(fault().hint("write the 12 digits of an account, or the ARN of a user, role or session"))
}

fn is_service(name: &str) -> bool {
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    is_plain && name.contains('.')
}

fn read_conditions(node: Node) -> Result<Vec<Condition>, ParseError> {
    let Value::Object(operators) = node.value else {
        return Err(syntax(node.at, "`Condition` is an object"));
    };
    let mut conditions = Vec::new();
    for Member { name, at, node } in operators {
        let operator = Operator::parse(&name).ok_or_else(|| {
            syntax(at, format!("unknown operator `{name}`"))
                .hint("such as StringEquals, ArnLike, DateLessThan, Bool, IpAddress, Null; case counts")
        })?;
        let Value::Object(keys) = node.value else {
            return Err(syntax(node.at, format!("`{name}` is an object of keys and their values")));
        };
        let mut seen = BTreeSet::new();
        for Member { name: key, at, node } in keys {
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(syntax(at, format!("`{key}` stands here twice; case does not count")));
            }
            let is_key =
                key.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
            if !is_key {
                return Err(ParseError::new(at, Reason::Vendorless, format!("`{key}` is no condition key"))
                    .hint("write a service, a colon and a name, such as aws:SourceIp"));
            }
            let values = scalars(node)?;
            for value in &values {
                check_value(operator, value)?;
            }
            conditions.push(Condition { operator, key: Spelled { text: key, position: at }, values });
        }
    }
    Ok(conditions)
}

/// Refuses values that could never be compared, such as a date that is none.
fn check_value(operator: Operator, value: &Spelled) -> Result<(), ParseError> {
    let text = value.text.as_str();
    let (is_valid, reason, hint) = match operator.comparison {
        Comparison::StringEquals
        | Comparison::StringEqualsIgnoreCase
        | Comparison::StringLike
        | Comparison::Arn => (true, Reason::Syntax, ""),
        Comparison::NumericEquals
        | Comparison::NumericLessThan
        | Comparison::NumericLessThanEquals
        | Comparison::NumericGreaterThan
        | Comparison::NumericGreaterThanEquals => {
            (scalar::Number::parse(text).is_some(), Reason::Syntax, "write a decimal number")
        }
        Comparison::DateEquals
        | Comparison::DateLessThan
        | Comparison::DateLessThanEquals
        | Comparison::DateGreaterThan
        | Comparison::DateGreaterThanEquals => (
            scalar::Moment::parse(text).is_some(),
            Reason::LegacyParsing,
            "write it as 2026-11-22T17:00:00Z, or as seconds since 1970",
        ),
        Comparison::Bool | Comparison::Null => {
            (scalar::parse_bool(text).is_some(), Reason::Syntax, "write true or false")
        }
        Comparison::BinaryEquals => {
            (scalar::parse_base64(text).is_some(), Reason::Syntax, "write it in base64")
        }
        Comparison::IpAddress => (
            scalar::Network::parse(text).is_some(),
            Reason::Syntax,
            "write an address, or a network such as 203.0.113.0/24",
        ),
    };
    if is_valid {
        return Ok(());
    }
    Err(ParseError::new(value.position, reason, format!("`{text}` is no value for {operator}")).hint(hint))
}

fn text(node: Node, what: &str) -> Result<Spelled, ParseError> {
    match node.value {
        Value::Text(text) => Ok(Spelled { text, position: node.at }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Object(_) => {
            Err(syntax(node.at, format!("{what} is a text")))
        }
    }
}

/// One text or a list of them.
fn texts(node: Node, what: &str) -> Result<Vec<Spelled>, ParseError> {
    match node.value {
        Value::List(nodes) => nodes.into_iter().map(|node| text(node, what)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Object(_) => {
            Ok(vec![text(node, what)?])
        }
    }
}

/// One value of a condition or a list of them: texts, numbers and truth values, all kept as text.
fn scalars(node: Node) -> Result<Vec<Spelled>, ParseError> {
    let at = node.at;
    let nodes = match node.value {
        Value::List(nodes) => nodes,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Object(_) => vec![node],
    };
    if nodes.is_empty() {
        return Err(syntax(at, "a condition has at least one value"));
    }
    let spell = |node: Node| {
        let text = match node.value {
            Value::Text(text) | Value::Number(text) => text,
            Value::Bool(value) => value.to_string(),
            Value::Null | Value::List(_) | Value::Object(_) => {
                return Err(syntax(node.at, "a condition's value is a text, a number, true or false"));
            }
        };
        Ok(Spelled { text, position: node.at })
    };
    nodes.into_iter().map(spell).collect()
}

/// What is no question of syntax: what a document of this kind must say, and may not.
fn judge(document: &Document) -> Result<(), ParseError> {
    let first = document.statements.first().map_or(Position { line: 1, column: 1 }, |first| first.position);
    if document.kind == DocumentKind::Managed && document.version != Version::V2012 {
        let what = "a managed policy is of version 2012-10-17";
        return Err(ParseError::new(first, Reason::Version, what).hint("write \"Version\": \"2012-10-17\""));
    }
    let mut sids = BTreeSet::new();
    for sid in document.statements.iter().filter_map(|statement| statement.sid.as_ref()) {
        // Only IAM's own documents are so strict; the policies of resources have spaces in their ids.
        let is_strict = document.kind != DocumentKind::Resource;
        if is_strict && !sid.text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let what = format!("`{}` is no statement id", sid.text);
            return Err(ParseError::new(sid.position, Reason::Sid, what).hint("use letters and digits only"));
        }
        if !sids.insert(&sid.text) {
            let what = format!("two statements have the id `{}`", sid.text);
            return Err(ParseError::new(sid.position, Reason::SidTwice, what));
        }
    }
    for statement in &document.statements {
        judge_principals(document.kind, statement)?;
    }
    for statement in &document.statements {
        if statement.actions.entries.is_empty() {
            let what = "a statement has at least one action";
            return Err(ParseError::new(statement.position, Reason::NoActions, what));
        }
    }
    for statement in &document.statements {
        judge_resources(document, statement)?;
    }
    for statement in &document.statements {
        for action in &statement.actions.entries {
            judge_action(document.kind, action)?;
        }
    }
    Ok(())
}

fn judge_principals(kind: DocumentKind, statement: &Statement) -> Result<(), ParseError> {
    match &statement.principals {
        Some(principals) if !kind.names_principals() => {
            let what = "such a policy names no principal";
            Err(ParseError::new(principals.position, Reason::PrincipalForbidden, what)
                .hint("it is attached to the user, group or role that it is for"))
        }
        None if kind.names_principals() => {
            Err(ParseError::new(statement.position, Reason::NoPrincipals, "a statement names a principal"))
        }
        Some(principals) if kind == DocumentKind::Trust && principals.is_negated => Err(ParseError::new(
            principals.position,
            Reason::Principal,
            "a trust policy has no `NotPrincipal`",
        )),
        Some(_) | None => Ok(()),
    }
}

fn judge_resources(document: &Document, statement: &Statement) -> Result<(), ParseError> {
    let Some(resources) = &statement.resources else {
        return match document.kind {
            // It is about what it is attached to.
            DocumentKind::Resource | DocumentKind::Trust => Ok(()),
            DocumentKind::Managed
            | DocumentKind::Inline
            | DocumentKind::Session
            | DocumentKind::ServiceControl => {
                let what = "a statement has at least one resource";
                Err(ParseError::new(statement.position, Reason::NoResources, what))
            }
        };
    };
    if document.kind == DocumentKind::Trust {
        let what = "a trust policy names no resource: it is about its role";
        return Err(ParseError::new(resources.position, Reason::ResourceForbidden, what));
    }
    if resources.entries.is_empty() {
        let what = "a statement has at least one resource";
        return Err(ParseError::new(resources.position, Reason::NoResources, what));
    }
    resources.entries.iter().try_for_each(judge_resource)
}

fn judge_resource(resource: &Spelled) -> Result<(), ParseError> {
    let text = resource.text.as_str();
    if text == "*" {
        return Ok(());
    }
    let fault = |reason, what: String| ParseError::new(resource.position, reason, what);
    let not_an_arn = || {
        fault(Reason::Resource(text.to_owned()), format!("`{text}` is neither an ARN nor `*`"))
            .hint("write an ARN such as arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-??????")
    };
    let mut parts = pattern::split_arn(text).into_iter();
    if parts.next() != Some("arn") {
        return Err(not_an_arn());
    }
    let partition = parts.next().filter(|partition| !partition.is_empty()).ok_or_else(not_an_arn)?;
    let is_partition =
        partition == "*" || partition == "aws" || partition.starts_with("aws-") || partition.contains("${");
    if !is_partition {
        let reason = Reason::Partition { partition: partition.to_owned(), resource: text.to_owned() };
        return Err(fault(reason, format!("unknown partition `{partition}`")).hint("the partition is aws"));
    }
    if partition == "*" {
        return Ok(());
    }
    let service = parts.next().ok_or_else(not_an_arn)?;
    if service.is_empty() || service != "*" && service.contains(['*', '?']) {
        return Err(fault(Reason::ResourceVendor, format!("`{service}` names no service"))
            .hint("write the service in full, such as secretsmanager"));
    }
    Ok(())
}

fn judge_action(kind: DocumentKind, action: &Spelled) -> Result<(), ParseError> {
    let text = action.text.as_str();
    let fault = |reason, what: String| ParseError::new(action.position, reason, what);
    if text == "*" && kind != DocumentKind::Trust {
        return Ok(());
    }
    let Some((service, name)) = text.split_once(':') else {
        if kind == DocumentKind::Trust {
            return Err(fault(Reason::TrustAction, format!("`{text}` is no action of a trust policy")));
        }
        return Err(fault(Reason::Vendorless, format!("`{text}` is no action"))
            .hint("write a service, a colon and a name, such as secretsmanager:GetSecretValue"));
    };
    if name.contains(':') {
        return Err(fault(Reason::TwoColons, format!("`{text}` has two colons")));
    }
    let is_service = !service.is_empty()
        && service.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if service != "*" && !is_service {
        return Err(fault(Reason::Vendor(service.to_owned()), format!("`{service}` is no service")));
    }
    if name.is_empty() {
        return Err(fault(Reason::Vendorless, format!("`{text}` names no action")));
    }
    if kind == DocumentKind::Trust && !service.eq_ignore_ascii_case("sts") {
        return Err(fault(Reason::TrustAction, format!("`{text}` is no action of a trust policy"))
            .hint("a trust policy is about sts:AssumeRole, sts:AssumeRoleWithWebIdentity, sts:TagSession and their like"));
    }
    Ok(())
}
