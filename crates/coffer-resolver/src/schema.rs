//! The JSON Schema of `coffer.toml`, for editors. `schema/coffer.schema.json` is this, written down.
//!
//! Pure.

use serde_json::{Value, json};

use crate::value_type::ValueType;

/// The schema.
pub fn schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let span = |description: &str| json!({ "type": "string", "pattern": "^(0|[0-9]+[smhd])$", "description": description });
    let secret = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "description": text("What it is for."),
            "required": { "type": "boolean", "default": true, "description": "Whether there is no going on without it." },
            "default": text("What it is if no layer has it. Never a value that is secret; may be a reference."),
            "type": { "enum": ValueType::NAMES, "default": "string", "description": "What it must look like." },
            "values": { "type": "array", "items": { "type": "string" }, "minItems": 1, "description": "Of type enum: what it may be." },
            "pattern": { "type": "string", "format": "regex", "description": "Of type regex: what all of it must fit." },
            "from": text("Where it is, looked at before the chain: aws://NAME#FIELD, gcp://PROJECT/NAME, vault://MOUNT/PATH#FIELD, coffer://NAME#FIELD, file:///PATH, env:NAME, dotenv:FILE#KEY, exec:PROGRAM."),
            "rotate": span("How often it should be renewed."),
            "renew_at": { "type": "string", "format": "date", "description": "When it has to be renewed." },
            "owner": text("Who to ask for it."),
            "fresh": span("How long a value that was read counts as fresh."),
        },
    });
    let profile = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["chain"],
        "properties": {
            "chain": {
                "type": "array",
                "minItems": 1,
                "items": { "type": "string", "pattern": "^(env|default|dotenv|(env|dotenv|file|files|exec|coffer|aws|gcp|vault):.+)$" },
                "description": "Where names are looked for, in this order.",
            },
        },
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "coffer.toml",
        "description": "What an application needs, and where that is looked for. Never a value.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "$schema": { "type": "string" },
            "profile": text("The profile where nobody names one."),
            "secrets": {
                "type": "object",
                "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 256 },
                "additionalProperties": secret,
            },
            "profiles": { "type": "object", "additionalProperties": profile },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Manifest;

    #[test]
    fn the_schema_that_is_written_down_is_this_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/coffer.schema.json");
        let current = format!("{:#}\n", schema());
        if std::env::var_os("COFFER_SCHEMA").is_some_and(|value| value == "overwrite") {
            std::fs::write(&path, &current).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap() == current,
            "run COFFER_SCHEMA=overwrite cargo test -p coffer-resolver schema, and read the difference"
        );
    }

    /// Every key the schema knows is one a manifest may have, and no others are.
    #[test]
    fn schema_and_manifest_know_the_same_keys() {
        let schema = schema();
        let secret = &schema["properties"]["secrets"]["additionalProperties"]["properties"];
        let keys: Vec<&String> = secret.as_object().unwrap().keys().collect();
        let message = Manifest::parse(Path::new("x"), "[secrets.A]\nnone = 1").unwrap_err().to_string();
        let told: Vec<&str> = message.split_once("there are ").unwrap().1.split(", ").collect();
        for key in &keys {
            assert!(told.contains(&key.as_str()), "{key}: {message}");
        }
        assert_eq!(told.len(), keys.len(), "{message}");
    }
}
