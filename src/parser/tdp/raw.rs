//! The schema files as they are written: TOML, before anything is looked up or compiled.
//!
//! Unknown keys are refused, so that a misspelt one is not silently without effect. What the keys
//! mean is explained at the top of `schema/common.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCommon {
    /// Role to field name.
    pub header: BTreeMap<String, String>,
    pub tribal_program: String,
    pub cipher: RawCipher,
    pub territory: RawTerritory,
    pub record: Vec<RawRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCipher {
    pub flag: String,
    pub from: String,
    pub to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTerritory {
    pub fips: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProgram {
    pub program: String,
    pub header: Option<RawHeader>,
    pub month: String,
    pub case: Option<String>,
    pub section: Vec<RawSection>,
    pub record: Vec<RawRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHeader {
    pub record: String,
    pub trailer: String,
    pub count: Option<String>,
    pub programs: Vec<String>,
    pub tribe: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSection {
    pub code: String,
    #[serde(default)]
    pub letter: String,
    pub records: Vec<String>,
    pub duplicates: String,
    pub most_records: Option<usize>,
    #[serde(default)]
    pub case_rules: Vec<String>,
    #[serde(default)]
    pub deprecated_case_rules: Vec<String>,
    #[serde(default)]
    pub linked_rules: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecord {
    #[serde(rename = "type")]
    pub name: String,
    #[serde(default = "one")]
    pub blocks: usize,
    #[serde(default)]
    pub block_width: usize,
    #[serde(default = "one")]
    pub months: usize,
    pub prechecks: Vec<String>,
    /// Instead of `prechecks`, for all segments but the first.
    pub later: Option<RawLater>,
    #[serde(default)]
    pub partial_key: Vec<String>,
    #[serde(default)]
    pub partial_except: String,
    #[serde(default)]
    pub exact_except: String,
    pub fields: Vec<RawField>,
    #[serde(default)]
    pub rules: Vec<String>,
    #[serde(default)]
    pub deprecated_rules: Vec<RawDeprecated>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLater {
    pub prechecks: Vec<String>,
    pub quiet: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawField {
    pub item: String,
    pub name: String,
    pub at: String,
    #[serde(default)]
    pub block: bool,
    #[serde(default)]
    pub monthly: bool,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub warning: bool,
    #[serde(default)]
    pub sensitive: bool,
    #[serde(default)]
    pub transform: String,
    #[serde(default)]
    pub checks: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeprecated {
    pub place: String,
    pub rule: String,
}

fn one() -> usize {
    1
}
