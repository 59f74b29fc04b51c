//! Payloads, results and error data: JSON outside, MessagePack inside.
//!
//! JSON keeps all its values and the order of its keys. MessagePack that JSON has no word for is
//! shown so: bytes as `{"$base64": "…"}`, an extension with `"$ext"` beside it, a key that is no
//! string as its JSON text, and bytes that are no MessagePack as `{"$not_msgpack": "…"}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rmpv::Value;
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use silo_runtime::client::payload;
use silo_runtime::proto::SerializedBytes;

/// Data as it came from the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    MessagePack(Value),
    Other(Bytes),
}

impl Data {
    pub(crate) fn read(bytes: &Bytes) -> Self {
        let mut rest = bytes.as_ref();
        match rmpv::decode::read_value(&mut rest) {
            Ok(value) if rest.is_empty() => Self::MessagePack(value),
            Ok(_) | Err(_) => Self::Other(bytes.clone()),
        }
    }

    /// Absent data is nil.
    pub(crate) fn of_wire(packed: Option<SerializedBytes>) -> Self {
        Self::read(&payload::unpack(packed))
    }

    /// As JSON, on one line.
    pub(crate) fn json(&self) -> String {
        // Writing to memory a value that has only string keys does not fail.
        serde_json::to_string(self).unwrap_or_else(|error| error.to_string())
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::MessagePack(value) => Json(value).serialize(serializer),
            Self::Other(bytes) => in_base64(serializer, "$not_msgpack", bytes),
        }
    }
}

/// JSON as MessagePack.
///
/// # Errors
///
/// A sentence that says what is wrong with it, and where.
pub(crate) fn from_json(json: &[u8]) -> Result<Bytes, String> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let mut writer = rmp_serde::Serializer::new(Vec::with_capacity(json.len()));
    serde_transcode::transcode(&mut reader, &mut writer).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(writer.into_inner().into())
}

/// What people and programs print: JSON if it is, else a text, else bytes. Nothing is nil, and the
/// end of the last line is no part of it.
pub(crate) fn from_printed(printed: &[u8]) -> Bytes {
    if printed.trim_ascii().is_empty() {
        return payload::NIL;
    }
    if let Ok(packed) = from_json(printed) {
        return packed;
    }
    let line = printed.strip_suffix(b"\n").unwrap_or(printed);
    let value = match std::str::from_utf8(line) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(printed),
    };
    packed(&value)
}

/// A value as MessagePack.
pub(crate) fn packed(value: &Value) -> Bytes {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = rmpv::encode::write_value(&mut bytes, value);
    bytes.into()
}

struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Nil => serializer.serialize_unit(),
            Value::Boolean(yes) => serializer.serialize_bool(*yes),
            Value::Integer(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => serializer.serialize_u64(number),
                (None, number) => serializer.serialize_i64(number.unwrap_or_default()),
            },
            Value::F32(number) => serializer.serialize_f32(*number),
            Value::F64(number) => serializer.serialize_f64(*number),
            Value::String(text) => match text.as_str() {
                Some(text) => serializer.serialize_str(text),
                None => in_base64(serializer, "$base64", text.as_bytes()),
            },
            Value::Binary(bytes) => in_base64(serializer, "$base64", bytes),
            Value::Array(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(&Json(value))?;
                }
                list.end()
            }
            Value::Map(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    map.serialize_entry(&key_of(key), &Json(value))?;
                }
                map.end()
            }
            Value::Ext(kind, bytes) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("$ext", kind)?;
                map.serialize_entry("$base64", &STANDARD.encode(bytes))?;
                map.end()
            }
        }
    }
}

fn key_of(key: &Value) -> String {
    match key.as_str() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string(&Json(key)).unwrap_or_default(),
    }
}

fn in_base64<S: Serializer>(serializer: S, name: &str, bytes: &[u8]) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, &STANDARD.encode(bytes))?;
    map.end()
}
