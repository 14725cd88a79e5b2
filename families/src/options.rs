//! Files of ours beside published ones: the numbers of their networks that no tensor has.

use files::json;
use files::text::excerpt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use weights::Folder;

use crate::Error;

/// More heads, or channels of a head, than any network has.
pub(crate) const MOST_CHANNELS: i64 = 4096;

/// A number in such a file: the network, the option, and the most that it may be.
pub(crate) type NumberOption = (&'static str, &'static str, i64, Option<i64>);

/// The options in the file called `name`, an object of objects, of which `numbers` are checked; the default ones where there is
/// no such file.
pub(crate) fn read_options<T: DeserializeOwned + Default>(
    folder: &Folder,
    name: &str,
    numbers: impl FnOnce(&T) -> Vec<NumberOption>,
) -> Result<T, Error> {
    let Some(bytes) = folder.read(name)? else {
        return Ok(T::default());
    };
    let problem = |reason: String| Error::Index { file: folder.name_of(name), reason };
    let fields: Map<String, Value> = json::parse(&bytes, json::CONFIGURATION)
        .map_err(|error| problem(format!("it is not a JSON object: {error}")))?;
    if let Some((name, value)) = fields.iter().find(|(_, value)| !value.is_object()) {
        let (name, value) = (excerpt(name), excerpt(&value.to_string()));
        return Err(problem(format!("{name} is {value}, and an object is wanted")));
    }
    let options: T =
        json::from_value(Value::Object(fields)).map_err(|error| problem(error.to_string()))?;
    // No network has other numbers, and no memory holds the attention of larger images.
    for (network, option, most, number) in numbers(&options) {
        if let Some(number) = number.filter(|number| !(1..=most).contains(number)) {
            return Err(problem(format!(
                "{network}.{option} is {number}: it must lie between 1 and {most}"
            )));
        }
    }
    Ok(options)
}
