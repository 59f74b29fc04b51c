//! The opaque MessagePack bytes of payloads, results and errors.
//!
//! Clients fail on empty bytes, so none are ever sent: nothing is MessagePack nil.

use bytes::{BufMut, Bytes, BytesMut};

use crate::proto::SerializedBytes;
use crate::proto::serialized_bytes::Encoding;

/// MessagePack nil, which stands for "nothing".
pub const NIL: Bytes = Bytes::from_static(&[0xc0]);

/// The bytes as they go over the wire; empty ones as nil.
pub fn pack(bytes: Bytes) -> SerializedBytes {
    let bytes = if bytes.is_empty() { NIL } else { bytes };
    SerializedBytes {
        encoding: Some(Encoding::Msgpack(bytes)),
    }
}

/// The bytes that came over the wire; absent or empty ones as nil.
pub fn unpack(packed: Option<SerializedBytes>) -> Bytes {
    match packed.and_then(|packed| packed.encoding) {
        Some(Encoding::Msgpack(bytes)) if !bytes.is_empty() => bytes,
        Some(Encoding::Msgpack(_)) | None => NIL,
    }
}

/// The MessagePack map `{"message": message}`, the shape of errors that this side makes itself. A
/// message is cut to 65,535 bytes.
pub fn message(message: &str) -> Bytes {
    let text = message
        .get(..message.floor_char_boundary(u16::MAX.into()))
        .unwrap_or_default();
    let length = u16::try_from(text.len()).unwrap_or_default();
    let mut packed = BytesMut::new();
    packed.put_u8(0x81); // a map of one
    packed.put_u8(0xa7); // a string of seven bytes
    packed.put_slice(b"message");
    packed.put_u8(0xda); // a string with a length of 16 bits
    packed.put_u16(length);
    packed.put_slice(text.as_bytes());
    packed.freeze()
}
