//! JSON as our own types, with errors that name the field.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_path_to_error::Error;

use crate::text::excerpt;

/// Why JSON is not what it should be.
#[derive(Debug)]
pub struct JsonError {
    /// The field, with those that it lies in; `.` where it is all of it.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// The line, from 1 on, and 0 where there are none.
    pub line: usize,
    /// The column in it.
    pub column: usize,
}

impl std::error::Error for JsonError {}

impl fmt::Display for JsonError {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        if self.field != "." {
            write!(to, "{}: ", self.field)?;
        }
        self.reason.fmt(to)?;
        match self.line {
            0 => Ok(()),
            line => write!(to, " at line {line} column {}", self.column),
        }
    }
}

impl From<Error<serde_json::Error>> for JsonError {
    fn from(error: Error<serde_json::Error>) -> Self {
        let field = excerpt(&error.path().to_string());
        let error = error.into_inner();
        let (line, column) = (error.line(), error.column());
        let reason = error.to_string();
        let reason = match reason.rsplit_once(" at line ") {
            Some((reason, _)) if line > 0 => reason,
            _ => &reason,
        };
        Self {
            field,
            reason: excerpt(reason),
            line,
            column,
        }
    }
}

/// Reads a whole text.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader)?;
    let end = reader.end();
    end.map_err(|error| Error::new(serde_path_to_error::Track::new().path(), error))?;
    Ok(value)
}

/// Reads what was read as JSON already.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, JsonError> {
    Ok(serde_path_to_error::deserialize(value)?)
}
