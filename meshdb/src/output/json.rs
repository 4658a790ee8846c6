//! JSON where the engine's own encoders would be less readable: headers, and texts that are JSON.

use datafusion::arrow::array::{Array, AsArray, BinaryArray, MapArray, StringArray, StringViewArray};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::NullableEncoder;
use datafusion::arrow::json::{Encoder, EncoderFactory, EncoderOptions};

/// The key, and its value, of fields whose texts are JSON.
const EXTENSION: (&str, &str) = ("ARROW:extension:name", "arrow.json");

/// Encodes headers and JSON texts; leaves the rest to the engine.
#[derive(Debug)]
pub(super) struct Encoders;

impl EncoderFactory for Encoders {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder = headers(array).or_else(|| json_texts(field, array));
        Ok(encoder.map(|encoder| NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

fn headers(array: &dyn Array) -> Option<Box<dyn Encoder + '_>> {
    let map = array.as_map_opt()?;
    let names = map.keys().as_string_opt::<i32>()?;
    let values = map.values().as_binary_opt::<i32>()?;
    Some(Box::new(Headers { map, names, values }))
}

fn json_texts<'a>(field: &FieldRef, array: &'a dyn Array) -> Option<Box<dyn Encoder + 'a>> {
    let (key, json) = EXTENSION;
    let is_json = field.metadata().get(key).is_some_and(|name| name == json);
    match array.data_type() {
        DataType::Utf8View if is_json => Some(Box::new(JsonTexts(array.as_string_view()))),
        _ => None,
    }
}

/// A map from names to bytes as an object.
struct Headers<'a> {
    map: &'a MapArray,
    names: &'a StringArray,
    values: &'a BinaryArray,
}

impl Encoder for Headers<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let offsets = self.map.value_offsets();
        let entry = |offset: i32| usize::try_from(offset).unwrap_or(0);
        out.push(b'{');
        for (nth, place) in (entry(offsets[row])..entry(offsets[row + 1])).enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            string(self.names.value(place), out);
            out.push(b':');
            match std::str::from_utf8(self.values.value(place)) {
                Ok(text) => string(text, out),
                Err(_) => hex_object(self.values.value(place), out),
            }
        }
        out.push(b'}');
    }
}

/// Texts that are JSON, as they are, but on one line.
struct JsonTexts<'a>(&'a StringViewArray);

impl Encoder for JsonTexts<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        // Within JSON, line ends can only stand between tokens.
        let on_one_line = |byte: u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte };
        out.extend(self.0.value(row).bytes().map(on_one_line));
    }
}

fn hex_object(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"hex\":\"");
    for byte in bytes {
        out.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    out.extend_from_slice(b"\"}");
}

fn string(text: &str, out: &mut Vec<u8>) {
    // A vector takes any text.
    let _ = serde_json::to_writer(out, text);
}
