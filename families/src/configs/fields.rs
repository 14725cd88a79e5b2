//! Fields of a JSON configuration, each of which must be understood.

use files::json;
use serde_json::{Map, Value};

use files::text::excerpt;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is no JSON object.
    #[error("it is not a JSON object: {0}")]
    Json(String),
    /// It is another component's.
    #[error("it describes a {found} where a {expected} is wanted")]
    Class {
        /// The class it names.
        found: String,
        /// The class that belongs there.
        expected: &'static str,
    },
    /// A field that has no default is absent.
    #[error("its field {0} is missing")]
    Missing(&'static str),
    /// A field has a value that nothing here supports.
    #[error("its field {field} is {value} where {expected} is wanted")]
    Value {
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// The values that it may have.
        expected: String,
    },
    /// An unknown field.
    #[error("its field {field} = {value} is unknown, and a model must not be guessed")]
    Unknown {
        /// The field.
        field: String,
        /// Its value.
        value: String,
    },
    /// Two numbers contradict each other, or a published file holds another network.
    #[error("{0}")]
    Relation(String),
}

/// A size beyond this is a mistake, and would only be found when the memory is full.
const LARGEST: i64 = 1 << 20;
/// So are pictures with a longer side,
const LONGEST_SIDE: i64 = 8192;
/// and longer stacks of layers.
const MOST: i64 = 1024;

/// The fields that are not understood yet.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a JSON object.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        json::parse(bytes, json::CONFIGURATION)
            .map(Self)
            .map_err(|error| ConfigError::Json(excerpt(&error.to_string())))
    }

    /// The fields of an object within one.
    pub(crate) fn of(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// All of them, for a type that reads its own.
    pub(crate) fn into_object(self) -> Map<String, Value> {
        self.0
    }

    /// Whether the field is there.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// Refuses another class than `wanted`, in each of the fields that publishers name one in.
    pub(crate) fn class(&self, expected: &'static str) -> Result<(), ConfigError> {
        for field in ["_class_name", "architectures"] {
            let named = match self.0.get(field) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(names)) if field == "architectures" => &names[..],
                Some(name) => std::slice::from_ref(name),
            };
            // Transformers' files name a list of classes.
            if named.iter().any(|name| name == expected) {
                continue;
            }
            let found = match named {
                [Value::String(name)] => excerpt(name),
                _ => return Err(wrong(field, &self.0[field], expected.to_owned())),
            };
            return Err(ConfigError::Class { found, expected });
        }
        Ok(())
    }

    /// The field as it is.
    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.0.remove(field)
    }

    /// A width of at least 1.
    pub(crate) fn size(
        &mut self,
        field: &'static str,
        default: Option<i64>,
    ) -> Result<i64, ConfigError> {
        self.whole(field, default, LARGEST)
    }

    /// The side of a square picture, which may also be written as a list of both.
    pub(crate) fn side(
        &mut self,
        field: &'static str,
        default: Option<i64>,
    ) -> Result<i64, ConfigError> {
        self.unify(field);
        self.whole(field, default, LONGEST_SIDE)
    }

    /// A count of layers or heads.
    pub(crate) fn count(&mut self, field: &'static str, default: i64) -> Result<i64, ConfigError> {
        self.whole(field, Some(default), MOST)
    }

    /// A count of layers or heads that must be there.
    pub(crate) fn required_count(&mut self, field: &'static str) -> Result<i64, ConfigError> {
        self.whole(field, None, MOST)
    }

    fn whole(
        &mut self,
        field: &'static str,
        default: Option<i64>,
        most: i64,
    ) -> Result<i64, ConfigError> {
        let value = self.value(field, default)?;
        let size = value.as_i64().filter(|size| (1..=most).contains(size));
        size.ok_or_else(|| wrong(field, &value, format!("a whole number from 1 to {most}")))
    }

    /// A size that may also be written as a list of equal ones, as diffusers allows.
    pub(crate) fn same_size(
        &mut self,
        field: &'static str,
        default: Option<i64>,
    ) -> Result<i64, ConfigError> {
        self.unify(field);
        self.size(field, default)
    }

    /// As [`Fields::same_size`] for a count.
    pub(crate) fn same_count(
        &mut self,
        field: &'static str,
        default: i64,
    ) -> Result<i64, ConfigError> {
        self.unify(field);
        self.count(field, default)
    }

    /// Puts one value in the place of a list of equal ones.
    fn unify(&mut self, field: &str) {
        if let Some(Value::Array(items)) = self.0.get(field)
            && items.windows(2).all(|pair| pair[0] == pair[1])
            && let Some(first) = items.first().cloned()
        {
            self.0.insert(field.to_owned(), first);
        }
    }

    /// A list of sizes.
    pub(crate) fn sizes(
        &mut self,
        field: &'static str,
        default: &[i64],
    ) -> Result<Vec<i64>, ConfigError> {
        let value = self.0.remove(field).unwrap_or_else(|| default.into());
        let size = |size: &Value| size.as_i64().filter(|size| (1..=LARGEST).contains(size));
        let sizes: Option<Vec<i64>> =
            value.as_array().and_then(|all| all.iter().map(size).collect());
        let sizes = sizes.filter(|sizes| (1..=16).contains(&sizes.len()));
        sizes.ok_or_else(|| wrong(field, &value, "a list of 1 to 16 whole numbers".to_owned()))
    }

    /// A positive number up to `most`.
    pub(crate) fn number(
        &mut self,
        field: &'static str,
        default: f64,
        most: f64,
    ) -> Result<f64, ConfigError> {
        let value = self.0.remove(field).unwrap_or_else(|| default.into());
        let number = value.as_f64().filter(|n| *n > 0.0 && *n <= most);
        number.ok_or_else(|| wrong(field, &value, format!("a positive number up to {most}")))
    }

    /// One of several words; `default` where the field is absent.
    pub(crate) fn choice<T: Clone>(
        &mut self,
        field: &'static str,
        default: Option<&str>,
        choices: &[(&str, T)],
    ) -> Result<T, ConfigError> {
        let value = self.value(field, default)?;
        let chosen = choices.iter().find(|(name, _)| value == *name);
        chosen.map(|(_, choice)| choice.clone()).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            wrong(field, &value, names.join(" or "))
        })
    }

    /// A field that may be absent, or have one of the values that mean the same as its absence here.
    pub(crate) fn only(
        &mut self,
        field: &'static str,
        values: &[Value],
    ) -> Result<(), ConfigError> {
        match self.0.remove(field) {
            Some(value) if !values.iter().any(|expected| equal(&value, expected)) => {
                let names: Vec<String> = values.iter().map(Value::to_string).collect();
                Err(wrong(field, &value, names.join(" or ")))
            }
            _ => Ok(()),
        }
    }

    /// Fields that may be absent or null.
    pub(crate) fn nulls(&mut self, fields: &[&'static str]) -> Result<(), ConfigError> {
        fields.iter().try_for_each(|field| self.only(field, &[Value::Null]))
    }

    /// A field that must be there and have this value.
    pub(crate) fn exactly(
        &mut self,
        field: &'static str,
        expected: &Value,
    ) -> Result<(), ConfigError> {
        match self.0.remove(field) {
            None => Err(ConfigError::Missing(field)),
            Some(value) if value != *expected => Err(wrong(field, &value, expected.to_string())),
            Some(_) => Ok(()),
        }
    }

    /// Fields that say nothing about what a network computes once it is trained.
    pub(crate) fn ignore(&mut self, fields: &[&str]) {
        for field in fields {
            self.0.remove(*field);
        }
    }

    /// Refuses the fields that nothing understood.
    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        let neutral = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
        let unknown = |(field, value): &(String, Value)| !field.starts_with('_') && !neutral(value);
        match self.0.into_iter().find(unknown) {
            Some((field, value)) => Err(ConfigError::Unknown {
                field: excerpt(&field),
                value: excerpt(&value.to_string()),
            }),
            None => Ok(()),
        }
    }

    fn value<T: Into<Value>>(
        &mut self,
        field: &'static str,
        default: Option<T>,
    ) -> Result<Value, ConfigError> {
        let value = self.0.remove(field).or_else(|| default.map(Into::into));
        value.ok_or(ConfigError::Missing(field))
    }
}

/// Refuses a number that another does not divide.
pub(crate) fn divides(
    (part, divisor): (&str, i64),
    (whole, number): (&str, i64),
) -> Result<(), ConfigError> {
    if number % divisor == 0 {
        return Ok(());
    }
    Err(ConfigError::Relation(format!(
        "its {whole} {number} is not a multiple of its {part} {divisor}"
    )))
}

/// Numbers are equal by value: 1 and 1.0 are.
fn equal(value: &Value, expected: &Value) -> bool {
    match (value.as_f64(), expected.as_f64()) {
        (Some(value), Some(expected)) => value == expected,
        _ => value == expected,
    }
}

/// A field whose value cannot be used.
pub(crate) fn wrong(field: &str, value: &Value, expected: String) -> ConfigError {
    ConfigError::Value { field: excerpt(field), value: excerpt(&value.to_string()), expected }
}
