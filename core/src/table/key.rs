//! Keys as bytes whose order is the order of their parts. Text is written with 0x00 escaped as
//! `00 FF` and ended by `00 01`, so that no text is a prefix of another and "a" < "ab"; integers
//! are big-endian, signed ones with the sign bit flipped. (The escape is that of FoundationDB's
//! tuple layer; the end mark differs, because a bare 00 before an FF byte would be ambiguous.)

use std::ops::Range;

use bytes::Bytes;

use crate::table::TableId;
use crate::types::tenant::Tenant;
use crate::types::time::Timestamp;

/// A row's key, as stored.
pub type Key = Bytes;

/// From the first key to before the second, in byte order.
pub type KeyRange = Range<Key>;

/// These bytes are no key of this table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no key of this table")]
pub struct KeyError;

/// The typed parts of one table's keys. What is written first orders first.
pub trait KeyParts: Sized {
    /// Appends the parts.
    fn write(&self, writer: &mut KeyWriter);

    /// Reads the parts back.
    ///
    /// # Errors
    /// [`KeyError`] for bytes that [`KeyParts::write`] does not write.
    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError>;
}

impl KeyParts for Tenant {
    fn write(&self, writer: &mut KeyWriter) {
        writer.u64(self.hash());
        writer.text(self.as_str());
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let hash = reader.u64()?;
        let tenant = Self::parse(&reader.text()?).map_err(|_| KeyError)?;
        if tenant.hash() == hash {
            Ok(tenant)
        } else {
            Err(KeyError)
        }
    }
}

/// Every key that begins with `prefix`.
pub fn within(prefix: &Key) -> KeyRange {
    prefix.clone()..after_all(prefix)
}

/// Every key of a table.
pub fn whole(table: TableId) -> KeyRange {
    within(&Key::copy_from_slice(&[table.byte()]))
}

/// Every key of a tenant in a table of which the keys begin with it.
pub fn of_tenant(table: TableId, tenant: &Tenant) -> KeyRange {
    let mut writer = KeyWriter::new(table.byte());
    tenant.write(&mut writer);
    within(&writer.finish())
}

/// The first key after `key`.
pub fn successor(key: &[u8]) -> Key {
    let mut bytes = Vec::with_capacity(key.len().saturating_add(1));
    bytes.extend_from_slice(key);
    bytes.push(0);
    bytes.into()
}

/// The first key that is greater than every key that begins with `prefix`. No prefix of ours is
/// all FF: the first byte is a table's.
fn after_all(prefix: &[u8]) -> Key {
    let kept = prefix
        .iter()
        .rposition(|byte| *byte != 0xff)
        .map_or(0, |at| at.saturating_add(1));
    let mut bytes = prefix.get(..kept).unwrap_or_default().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last = last.saturating_add(1);
    }
    bytes.into()
}

/// Writes the parts of a key one after the other.
pub struct KeyWriter {
    bytes: Vec<u8>,
}

impl KeyWriter {
    /// Begins a key, or a prefix of keys, of the table with this first byte.
    pub fn new(table: u8) -> Self {
        let mut bytes = Vec::with_capacity(96);
        bytes.push(table);
        Self { bytes }
    }

    /// A single byte.
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// An unsigned number.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// An unsigned number.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// An instant.
    pub fn time(&mut self, value: Timestamp) {
        self.u64(value.as_millis().cast_unsigned() ^ (1 << 63));
    }

    /// Text of any length.
    pub fn text(&mut self, value: &str) {
        self.open_text(value);
        self.bytes.extend_from_slice(&[0, 1]);
    }

    /// What all texts have in common that begin with `value`: ends a prefix of keys.
    pub fn open_text(&mut self, value: &str) {
        for byte in value.bytes() {
            self.bytes.push(byte);
            if byte == 0 {
                self.bytes.push(0xff);
            }
        }
    }

    /// The key.
    pub fn finish(self) -> Key {
        self.bytes.into()
    }
}

/// Reads the parts of a key one after the other.
pub struct KeyReader<'a> {
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    /// Begins at the table byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// A single byte.
    ///
    /// # Errors
    /// [`KeyError`] at the end of the key.
    pub fn byte(&mut self) -> Result<u8, KeyError> {
        self.take().map(|[byte]: [u8; 1]| byte)
    }

    /// An unsigned number.
    ///
    /// # Errors
    /// [`KeyError`] when the key ends before it does.
    pub fn u32(&mut self) -> Result<u32, KeyError> {
        self.take().map(u32::from_be_bytes)
    }

    /// An unsigned number.
    ///
    /// # Errors
    /// [`KeyError`] when the key ends before it does.
    pub fn u64(&mut self) -> Result<u64, KeyError> {
        self.take().map(u64::from_be_bytes)
    }

    /// An instant.
    ///
    /// # Errors
    /// [`KeyError`] when the key ends before it does.
    pub fn time(&mut self) -> Result<Timestamp, KeyError> {
        Ok(Timestamp::from_millis(
            (self.u64()? ^ (1 << 63)).cast_signed(),
        ))
    }

    /// Text.
    ///
    /// # Errors
    /// [`KeyError`] when it has no end, a bad escape, or is not UTF-8.
    pub fn text(&mut self) -> Result<String, KeyError> {
        let mut text = Vec::new();
        loop {
            match self.byte()? {
                0 => match self.byte()? {
                    1 => return String::from_utf8(text).map_err(|_| KeyError),
                    0xff => text.push(0),
                    _ => return Err(KeyError),
                },
                byte => text.push(byte),
            }
        }
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`KeyError`] when something is.
    pub const fn end(&self) -> Result<(), KeyError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(KeyError)
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(KeyError)?;
        self.rest = rest;
        Ok(*first)
    }
}
