//! The policy simulator.
//!
//! `SourcePolicyType` is what AWS was seen to answer (`IAM Policy`), which is none of the words in the service model.

use coffer_core::ops::iam::{
    ContextEntry, ContextKeys, GetContextKeysForCustomPolicy, GetContextKeysForPrincipalPolicy,
    GrantingPolicies, Kind, ListPoliciesGrantingServiceAccess, MatchedStatement, PolicyKind, Position,
    SimulateCustomPolicy, SimulatePrincipalPolicy, Simulated, SimulatedDecision, SimulationResults,
};
use coffer_types::iam_limits::DOCUMENT_CHARS_MAX;

use super::super::parameters::{Malformed, Parameters};
use super::super::xml::Xml;
use super::super::{FromQuery, ToXml};
use super::MARKER_CHARS_MAX;

/// Most members of each list: the service model has no limit, and a form has no more parameters.
const LIST_MAX: usize = 1000;
/// Most services of one question.
const SERVICES_MAX: usize = 200;
const ARN_CHARS_MAX: usize = 2048;

/// The types of keys, and whether one can have several values.
const KEY_TYPES: [(&str, bool); 12] = [
    ("string", false),
    ("stringList", true),
    ("numeric", false),
    ("numericList", true),
    ("boolean", false),
    ("booleanList", true),
    ("ip", false),
    ("ipList", true),
    ("binary", false),
    ("binaryList", true),
    ("date", false),
    ("dateList", true),
];

impl Parameters {
    fn documents(&self, name: &str, max: usize) -> Option<Vec<String>> {
        self.texts(name, max, 1..=DOCUMENT_CHARS_MAX)
    }

    fn required_documents(&self, name: &str) -> Vec<String> {
        self.documents(name, LIST_MAX).unwrap_or_else(|| {
            self.missing(name);
            Vec::new()
        })
    }

    fn entity_arn(&self, name: &str) -> String {
        self.required_text(name, 20..=ARN_CHARS_MAX)
    }

    fn context_entries(&self) -> Vec<ContextEntry> {
        let mut entries = Vec::new();
        for number in 1..=LIST_MAX {
            let member = |name: &str| format!("ContextEntries.member.{number}.{name}");
            let (key, values) = (member("ContextKeyName"), member("ContextKeyValues"));
            let is_list = self.word(&member("ContextKeyType"), &KEY_TYPES);
            let values = self.texts(&values, LIST_MAX, 0..=DOCUMENT_CHARS_MAX);
            if self.raw(&key).is_none() && values.is_none() && is_list.is_none() {
                break;
            }
            let key = self.required_text(&key, 5..=256);
            let values = values.unwrap_or_default();
            entries.push(ContextEntry { key, values, is_list: is_list.unwrap_or(false) });
        }
        entries
    }

    fn simulated(&self, policies: Vec<String>) -> Simulated {
        self.refuse_unserved(&[
            "OrderedOrganizationPolicyInputList.member.1.ServiceControlPolicyInputList.member.1",
            "PolicyExclusionList.member.1.PolicyType",
            "PolicyExclusionList.member.1.PolicyArn",
            "PolicyExclusionList.member.1.InlinePolicyIdentifier.PolicyName",
        ]);
        let actions = self.texts("ActionNames", LIST_MAX, 3..=128).unwrap_or_else(|| {
            self.missing("ActionNames");
            Vec::new()
        });
        // It is about instances of EC2 only.
        self.text("ResourceHandlingOption", 1..=64);
        Simulated {
            policies,
            // AWS takes one.
            boundary: self
                .documents("PermissionsBoundaryPolicyInputList", 1)
                .and_then(|boundaries| boundaries.into_iter().next()),
            actions,
            resources: self.texts("ResourceArns", LIST_MAX, 1..=ARN_CHARS_MAX).unwrap_or_default(),
            resource_policy: self.text("ResourcePolicy", 1..=DOCUMENT_CHARS_MAX),
            resource_owner: self.text("ResourceOwner", 1..=ARN_CHARS_MAX),
            caller: self.text("CallerArn", 1..=ARN_CHARS_MAX),
            context: self.context_entries(),
            page: self.page(),
        }
    }
}

impl FromQuery for SimulateCustomPolicy {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let simulated = form.simulated(form.required_documents("PolicyInputList"));
        form.finish(Some(Self(simulated)))
    }
}

impl FromQuery for SimulatePrincipalPolicy {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let source = form.entity_arn("PolicySourceArn");
        let simulated = form.simulated(form.documents("PolicyInputList", LIST_MAX).unwrap_or_default());
        form.finish(Some(Self { source, simulated }))
    }
}

impl FromQuery for GetContextKeysForCustomPolicy {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let policies = form.required_documents("PolicyInputList");
        form.finish(Some(Self { policies }))
    }
}

impl FromQuery for GetContextKeysForPrincipalPolicy {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let source = form.entity_arn("PolicySourceArn");
        let policies = form.documents("PolicyInputList", LIST_MAX).unwrap_or_default();
        form.finish(Some(Self { source, policies }))
    }
}

impl FromQuery for ListPoliciesGrantingServiceAccess {
    fn from_query(form: Parameters) -> Result<Self, Malformed> {
        let source = form.entity_arn("Arn");
        let services = form.texts("ServiceNamespaces", SERVICES_MAX, 1..=64).unwrap_or_else(|| {
            form.missing("ServiceNamespaces");
            Vec::new()
        });
        let marker = form.text("Marker", 1..=MARKER_CHARS_MAX);
        form.finish(Some(Self { source, services, marker }))
    }
}

fn write_position(xml: &mut Xml, name: &'static str, Position { line, column }: Position) {
    xml.element(name, |xml| {
        xml.value("Line", line);
        xml.value("Column", column);
    });
}

fn write_matched(xml: &mut Xml, matched: &[MatchedStatement]) {
    xml.list("MatchedStatements", matched, |xml, statement| {
        xml.text("SourcePolicyId", &statement.policy);
        let kind = match statement.kind {
            PolicyKind::Identity => "IAM Policy",
            PolicyKind::Resource => "Resource Policy",
            PolicyKind::Boundary => "Permissions Boundary Policy",
            PolicyKind::Session => "Session Policy",
            PolicyKind::ServiceControl => "Service Control Policy",
        };
        xml.text("SourcePolicyType", kind);
        write_position(xml, "StartPosition", statement.start);
        write_position(xml, "EndPosition", statement.end);
    });
}

fn write_boundary(xml: &mut Xml, is_within: Option<bool>) {
    if let Some(is_within) = is_within {
        xml.element("PermissionsBoundaryDecisionDetail", |xml| {
            xml.value("AllowedByPermissionsBoundary", is_within);
        });
    }
}

impl ToXml for SimulationResults {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        super::entities::paged(&mut xml, "EvaluationResults", &self.0, |xml, result| {
            let decision = match result.decision {
                SimulatedDecision::Allowed => "allowed",
                SimulatedDecision::ExplicitlyDenied => "explicitDeny",
                SimulatedDecision::ImplicitlyDenied => "implicitDeny",
            };
            xml.text("EvalActionName", &result.action);
            xml.text("EvalResourceName", &result.resource);
            xml.text("EvalDecision", decision);
            write_matched(xml, &result.matched);
            // AWS tells what is missing beside the resource, if one was named.
            xml.texts("MissingContextValues", if result.is_named { &[][..] } else { &result.missing });
            write_boundary(xml, result.is_within_boundary);
            if result.is_named {
                xml.list("ResourceSpecificResults", [()], |xml, ()| {
                    xml.text("EvalResourceName", &result.resource);
                    xml.text("EvalResourceDecision", decision);
                    write_matched(xml, &result.matched);
                    xml.texts("MissingContextValues", &result.missing);
                    write_boundary(xml, result.is_within_boundary);
                });
            }
        });
        Some(xml)
    }
}

impl ToXml for ContextKeys {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        xml.texts("ContextKeyNames", &self.0);
        Some(xml)
    }
}

impl ToXml for GrantingPolicies {
    fn to_xml(&self, _: &str) -> Option<Xml> {
        let mut xml = Xml::default();
        super::entities::paged(
            &mut xml,
            "PoliciesGrantingServiceAccess",
            &self.0,
            |xml, (service, policies)| {
                xml.text("ServiceNamespace", service);
                xml.list("Policies", policies, |xml, policy| {
                    xml.text("PolicyName", &policy.name);
                    xml.text("PolicyType", if policy.arn.is_some() { "MANAGED" } else { "INLINE" });
                    xml.optional_text("PolicyArn", policy.arn.as_ref());
                    if let Some((kind, name)) = &policy.holder {
                        let kind = match kind {
                            Kind::User => "USER",
                            Kind::Group => "GROUP",
                            Kind::Role => "ROLE",
                            Kind::Policy | Kind::OidcProvider => "POLICY",
                        };
                        xml.text("EntityType", kind);
                        xml.text("EntityName", name);
                    }
                });
            },
        );
        Some(xml)
    }
}
