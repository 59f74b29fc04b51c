//! What is drawn from a command's stamp. The driver draws the 16 bytes; everything here is a pure
//! function of them.

use uuid::Builder;

use crate::types::name::JobId;
use crate::types::time::Timestamp;

/// Sixteen random bytes, stamped on a command by its driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entropy(pub [u8; 16]);

impl Entropy {
    /// The `index`-th number drawn from this entropy (SplitMix64: Steele, Lea, Flood 2014).
    pub fn number(&self, index: u64) -> u64 {
        let [low, high] = self.halves();
        let state = low ^ index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mix(mix(state).wrapping_add(high))
    }

    /// A UUIDv7 (RFC 9562) made at `now`, the `index`-th of a command.
    pub fn job_id(&self, now: Timestamp, index: usize) -> JobId {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        let bytes = if index == 0 {
            self.0
        } else {
            self.apart(index)
        };
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, ..] = bytes;
        let random = [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9];
        let uuid = Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        from_uuid(&uuid)
    }

    /// Sixteen bytes that no other index gives: numbers of this entropy that commands do not draw.
    fn apart(&self, index: usize) -> [u8; 16] {
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        let first = u64::MAX.wrapping_sub(index.wrapping_mul(2));
        let high = u128::from(self.number(first)) << 64;
        let low = u128::from(self.number(first.wrapping_sub(1)));
        (high | low).to_be_bytes()
    }

    fn halves(&self) -> [u64; 2] {
        let number = u128::from_le_bytes(self.0);
        let low = number & u128::from(u64::MAX);
        let high = number >> 64;
        // Both fit: each is less than 2^64.
        [
            u64::try_from(low).unwrap_or(0),
            u64::try_from(high).unwrap_or(0),
        ]
    }
}

/// What makes an enqueue safe to repeat: 16 bytes that the caller chooses once per job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct RequestId(pub [u8; 16]);

impl RequestId {
    /// The id of a job that was enqueued with this request id and no id of its own.
    pub fn job_id(&self) -> JobId {
        from_uuid(&uuid::Uuid::from_bytes(self.0))
    }
}

fn from_uuid(uuid: &uuid::Uuid) -> JobId {
    let mut buffer = uuid::Uuid::encode_buffer();
    JobId::of_uuid(uuid.hyphenated().encode_lower(&mut buffer))
}

const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
