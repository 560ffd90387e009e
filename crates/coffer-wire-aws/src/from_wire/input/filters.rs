//! The filters of a listing.
//!
//! Pure. The service model's limits are violations, told with all others of the request; a filter without a key or without
//! values is refused after them, in the words that moto's `test_with_no_filter_key` and `test_with_no_filter_values` have.

use coffer_types::limits::{FILTER_VALUE_CHARS_MAX, FILTER_VALUES_MAX, FILTERS_MAX};
use coffer_types::{Filter, FilterKey, FilterValue};

use super::{Input, Malformed, Violations, read_object, read_text};

/// Filters as they came; each may lack its key or its values.
pub(in crate::from_wire) struct FilterMembers(Vec<(Option<FilterKey>, Option<Vec<FilterValue>>)>);

impl FilterMembers {
    /// The filters, once the request has no violations.
    pub(in crate::from_wire) fn parse(self) -> Result<Vec<Filter>, Malformed> {
        let filter = |(key, values): (Option<FilterKey>, Option<Vec<FilterValue>>)| {
            let key = key.ok_or_else(|| Malformed::InvalidParameter("Invalid filter key".into()))?;
            values.and_then(|values| Filter::new(key, values).ok()).ok_or_else(|| {
                Malformed::InvalidParameter(format!("Invalid filter values for key: {}", key.as_str()).into())
            })
        };
        self.0.into_iter().map(filter).collect()
    }
}

impl Input<'_> {
    /// A list of filters; none if the member is absent.
    pub(in crate::from_wire) fn filters(&mut self, name: &str) -> Result<FilterMembers, Malformed> {
        let list = self.list(name)?.unwrap_or_default();
        if list.len() > FILTERS_MAX {
            self.violate(None, name, format_args!("have length less than or equal to {FILTERS_MAX}"));
            return Ok(FilterMembers(Vec::new()));
        }
        let mut filters = Vec::with_capacity(list.len());
        for (at, json) in list.into_iter().enumerate() {
            let member = format!("{name}.{}.member", at + 1);
            let filter = Input { members: read_object(json)?, violations: Violations::default() };
            let key = match filter.member("Key")? {
                Some(json) => self.filter_key(&format!("{member}.key"), &read_text(json, "Key")?),
                None => None,
            };
            let values = match filter.list("Values")? {
                Some(list) => self.filter_values(&format!("{member}.values"), &list)?,
                None => None,
            };
            filters.push((key, values));
        }
        Ok(FilterMembers(filters))
    }

    fn filter_key(&mut self, member: &str, text: &str) -> Option<FilterKey> {
        let key = text.parse().ok();
        if key.is_none() {
            let names = FilterKey::NAMES.join(", ");
            self.violate(Some(text), member, format_args!("satisfy enum value set: [{names}]"));
        }
        key
    }

    fn filter_values(
        &mut self,
        member: &str,
        list: &[&serde_json::value::RawValue],
    ) -> Result<Option<Vec<FilterValue>>, Malformed> {
        if list.is_empty() {
            self.violate(Some("[]"), member, format_args!("have length greater than or equal to 1"));
        } else if list.len() > FILTER_VALUES_MAX {
            self.violate(None, member, format_args!("have length less than or equal to {FILTER_VALUES_MAX}"));
            return Ok(None);
        }
        let mut values = Vec::with_capacity(list.len());
        for (at, json) in list.iter().enumerate() {
            let text = read_text(json, "Values")?;
            let member = format!("{member}.{}.member", at + 1);
            let chars = 0..=FILTER_VALUE_CHARS_MAX;
            values.extend(self.parsed_text::<FilterValue>(&member, &text, chars, FilterValue::PATTERN));
        }
        Ok(Some(values))
    }
}
