//! The fields of requests: tables of what a route takes, from which requests are read and the OpenAPI document is written.

use std::collections::BTreeMap;

use axum::body::Bytes;
use files::text::excerpt;
use serde_json::Value as Json;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::ApiError;
use crate::form::Form;

/// The most texts of a field that takes several.
pub(crate) const MOST_TEXTS: usize = 256;

/// A field of a request.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// One sentence of documentation.
    pub(crate) about: &'static str,
    pub(crate) required: bool,
}

/// The values that a field takes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// So many characters at most.
    Text(usize),
    /// Texts, of which each is a field of its own in a form, or one with commas between.
    Texts,
    /// One text or several, each of so many characters at most.
    TextOrTexts(usize),
    /// A whole number within bounds, both included.
    Integer(i64, i64),
    /// A number within bounds, both included.
    Number(f64, f64),
    Switch,
    Choice(&'static [&'static str]),
    /// `WIDTHxHEIGHT` with so many pixels a side at most, or `auto`.
    Size(u32),
    /// A file.
    Image,
    /// Anything: it is read by nobody.
    Ignored,
}

impl Field {
    pub(crate) const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, about, required: false }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Texts(Vec<String>),
    Integer(i64),
    Number(f64),
    Switch(bool),
    Size(u32, u32),
    Image(Bytes),
}

/// The values of a request's fields, by their names.
#[derive(Default)]
pub(crate) struct Values {
    values: BTreeMap<&'static str, Value>,
    /// The fields that nothing was made of: those that the route does not know, and those that it knows and ignores.
    pub(crate) ignored: Vec<String>,
    /// The memory that the request's pictures take.
    _memory: Option<OwnedSemaphorePermit>,
}

impl Values {
    /// The values of a form. An error for a value that its field does not take, for a field that is missing, and in `strict` for
    /// one that nothing is made of.
    pub(crate) fn read(
        mut form: Form,
        fields: &[&[Field]],
        strict: bool,
    ) -> Result<Self, ApiError> {
        let mut all = Self { _memory: form.memory.take(), ..Self::default() };
        for field in fields.iter().copied().flatten() {
            let value = match field.kind {
                Kind::Image => {
                    if form.take_texts(field.name).is_some() {
                        return Err(not_a_file(field.name));
                    }
                    form.take_file(field.name)?.map(Value::Image)
                }
                Kind::Ignored => {
                    if form.take_texts(field.name).is_some() {
                        all.ignored.push(field.name.to_owned());
                    }
                    None
                }
                kind => {
                    if form.has_file(field.name) {
                        let message = format!("{} is a file, and a value is wanted", field.name);
                        return Err(ApiError::invalid(field.name, message));
                    }
                    let texts = form.take_texts(field.name);
                    texts
                        .map(|texts| kind.read(field.name, texts, form.is_json))
                        .transpose()?
                        .flatten()
                }
            };
            match value {
                Some(value) => _ = all.values.insert(field.name, value),
                None if field.required => {
                    let message = format!("{} is missing: {}", field.name, field.about);
                    return Err(ApiError::invalid(field.name, message));
                }
                None => {}
            }
        }
        all.ignored.extend(form.names());
        match all.ignored.first() {
            Some(name) if strict => {
                let name = excerpt(name);
                let message = format!("nothing is made of the field {name} here");
                Err(ApiError::invalid(&name, message))
            }
            _ => Ok(all),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Option<&[String]> {
        match self.values.get(name)? {
            Value::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        match self.values.get(name)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A count, whose field has no negative numbers.
    pub(crate) fn count(&self, name: &str) -> Option<usize> {
        self.integer(name).map(|number| number as usize)
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        match self.values.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The value of a field with two names, as `get` reads it. An error where both are there.
    pub(crate) fn either<T>(
        &self,
        name: &str,
        other: &str,
        get: impl Fn(&Self, &str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        match (get(self, name), get(self, other)) {
            (Some(_), Some(_)) => Err(ApiError::invalid(
                other,
                format!("{other} is another name of {name}: give one of the two"),
            )),
            (one, two) => Ok(one.or(two)),
        }
    }

    /// Takes fields out that mean nothing here.
    pub(crate) fn ignore(&mut self, names: &[&'static str]) {
        for name in names {
            if self.values.remove(name).is_some() {
                self.ignored.push((*name).to_owned());
            }
        }
    }

    pub(crate) fn switch(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Value::Switch(true)))
    }

    pub(crate) fn size(&self, name: &str) -> Option<(u32, u32)> {
        match self.values.get(name)? {
            Value::Size(width, height) => Some((*width, *height)),
            _ => None,
        }
    }

    pub(crate) fn image(&self, name: &str) -> Option<Bytes> {
        match self.values.get(name)? {
            Value::Image(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl Kind {
    /// A field's value; `None` for null, for `auto`, and for an empty text in a form, which is how a form leaves one out.
    fn read(
        self,
        name: &str,
        mut texts: Vec<Json>,
        is_json: bool,
    ) -> Result<Option<Value>, ApiError> {
        let list = matches!(self, Self::Texts | Self::TextOrTexts(_));
        if !list && texts.len() > 1 {
            let message = format!("{name} is there {} times, and once is wanted", texts.len());
            return Err(ApiError::invalid(name, message));
        }
        if list {
            return self.read_texts(name, texts);
        }
        let json = texts.pop().unwrap_or(Json::Null);
        let is_empty = !is_json && json.as_str().is_some_and(|text| text.trim().is_empty());
        if json.is_null() || (is_empty && !matches!(self, Self::Text(_))) {
            return Ok(None);
        }
        let wrong = |wanted: String| {
            // In JSON a text has its quotes, so that it looks like no number.
            let shown = match &json {
                Json::String(text) if !is_json => excerpt(text),
                other => excerpt(&other.to_string()),
            };
            ApiError::invalid(name, format!("{name} is {shown}: {wanted}"))
        };
        // A form has texts alone.
        let number = || match (&json, is_json) {
            (Json::Number(number), _) => number.as_f64(),
            (Json::String(text), false) => text.trim().parse().ok(),
            _ => None,
        };
        match self {
            Self::Text(longest) => match &json {
                Json::String(text) => {
                    check_length(name, text, longest).map(|()| Some(Value::Text(text.clone())))
                }
                _ => Err(wrong("a text is wanted".to_owned())),
            },
            Self::Integer(least, most) => {
                let wanted = || match most {
                    i64::MAX => wrong(format!("a whole number of at least {least} is wanted")),
                    _ => wrong(format!("a whole number from {least} to {most} is wanted")),
                };
                let number = number().filter(|number| number.fract() == 0.0).ok_or_else(wanted)?;
                let is_within = (least as f64..=most as f64).contains(&number);
                is_within.then_some(Some(Value::Integer(number as i64))).ok_or_else(wanted)
            }
            Self::Number(least, most) => {
                let wanted = || wrong(format!("a number from {least} to {most} is wanted"));
                let number = number().filter(|number| (least..=most).contains(number));
                number.map(|number| Some(Value::Number(number))).ok_or_else(wanted)
            }
            Self::Switch => match (&json, json.as_str().map(str::trim)) {
                (Json::Bool(switch), _) => Ok(Some(Value::Switch(*switch))),
                (_, Some("true" | "1" | "on")) if !is_json => Ok(Some(Value::Switch(true))),
                (_, Some("false" | "0" | "off")) if !is_json => Ok(Some(Value::Switch(false))),
                _ => Err(wrong("true or false is wanted".to_owned())),
            },
            Self::Choice(choices) => {
                let choice = json.as_str().filter(|text| choices.contains(&text.trim()));
                let wanted = || wrong(format!("one of {} is wanted", choices.join(", ")));
                choice.map(|choice| Some(Value::Text(choice.trim().to_owned()))).ok_or_else(wanted)
            }
            Self::Size(most) => {
                let text = json.as_str().map(str::trim).unwrap_or_default();
                if text == "auto" {
                    return Ok(None);
                }
                let side = |text: &str| {
                    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                    text.parse().ok().filter(|side| digits && (1..=most).contains(side))
                };
                let sides = text
                    .split_once('x')
                    .and_then(|(width, height)| Some((side(width)?, side(height)?)));
                let wanted = || {
                    wrong(format!(
                        "WIDTHxHEIGHT with 1 to {most} pixels a side, or auto, is wanted"
                    ))
                };
                sides.map(|(width, height)| Some(Value::Size(width, height))).ok_or_else(wanted)
            }
            Self::Texts | Self::TextOrTexts(_) | Self::Image | Self::Ignored => {
                unreachable!("read elsewhere")
            }
        }
    }

    /// Several texts.
    fn read_texts(self, name: &str, jsons: Vec<Json>) -> Result<Option<Value>, ApiError> {
        let mut texts = Vec::new();
        for json in jsons {
            match json {
                Json::Null => {}
                Json::String(text) => texts.push(text),
                Json::Array(all) => {
                    for json in all {
                        match json {
                            Json::String(text) => texts.push(text),
                            _ => {
                                return Err(ApiError::invalid(
                                    name,
                                    format!("{name}: texts are wanted"),
                                ));
                            }
                        }
                    }
                }
                _ => return Err(ApiError::invalid(name, format!("{name}: texts are wanted"))),
            }
        }
        if let (Self::Texts, [one]) = (self, &texts[..]) {
            texts =
                one.split(',').take(MOST_TEXTS + 1).map(|text| text.trim().to_owned()).collect();
        }
        if let Self::TextOrTexts(longest) = self {
            texts.iter().try_for_each(|text| check_length(name, text, longest))?;
        }
        Ok((!texts.is_empty()).then_some(Value::Texts(texts)))
    }
}

fn check_length(name: &str, text: &str, longest: usize) -> Result<(), ApiError> {
    let length = text.chars().count();
    match length <= longest {
        true => Ok(()),
        false => {
            let message = format!("{name} has {length} characters, and {longest} at most are read");
            Err(ApiError::invalid(name, message))
        }
    }
}

fn not_a_file(name: &str) -> ApiError {
    let message = format!(
        "{name} is a value, and a file is wanted: a part of multipart/form-data with a file name"
    );
    ApiError::invalid(name, message)
}
