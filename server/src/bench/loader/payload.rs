//! What jobs carry: MessagePack bytes that begin with the job's number, so that whoever leases a
//! job knows which it is, and that all of it arrived.

use bytes::{BufMut as _, Bytes, BytesMut};

/// MessagePack: bytes, with a length of 32 bits.
const BIN_32: u8 = 0xc6;
const HEAD_BYTES: u32 = 5;

/// Payloads of one size.
#[derive(Clone, Debug)]
pub(crate) struct Payloads {
    /// What follows the number.
    filling: Bytes,
    data_bytes: u32,
}

impl Payloads {
    /// Payloads of so many bytes, at least 16.
    pub(crate) fn new(bytes: u32) -> Self {
        let data_bytes = bytes.saturating_sub(HEAD_BYTES);
        let filling = usize::try_from(data_bytes).unwrap_or(0).saturating_sub(8);
        // Bytes that do not compress (xorshift), always the same.
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        };
        Self {
            filling: std::iter::repeat_with(next).take(filling).collect(),
            data_bytes,
        }
    }

    /// The payload of a job.
    pub(crate) fn of(&self, number: u64) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.filling.len().saturating_add(13));
        bytes.put_u8(BIN_32);
        bytes.put_u32(self.data_bytes);
        bytes.put_u64(number);
        bytes.put_slice(&self.filling);
        bytes.freeze()
    }

    /// Which job's payload this is. None: nobody's.
    pub(crate) fn number(&self, payload: &[u8]) -> Option<u64> {
        let (head, rest) = payload.split_first_chunk::<5>()?;
        let (number, filling) = rest.split_first_chunk::<8>()?;
        let [kind, length @ ..] = *head;
        let is_whole = kind == BIN_32
            && u32::from_be_bytes(length) == self.data_bytes
            && filling == self.filling;
        is_whole.then(|| u64::from_be_bytes(*number))
    }
}
