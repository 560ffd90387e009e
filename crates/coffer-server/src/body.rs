//! The body of a request as it arrives: bounded, and wiped once it is done with. What it takes of the budget of all
//! bodies it gives back when its request is answered.
//!
//! A body in one piece is handed on as it came. One of several pieces is copied together, into buffers that are wiped
//! when they are outgrown and when the last reader of the whole lets go of it.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use crate::Limits;
use crate::options::BODY_BYTES_FREE;
use crate::route::Early;

/// Unit of the budget of arriving bodies.
const BUDGET_UNIT_BYTES: usize = 1024;

/// A whole body.
pub(crate) struct Received<'a> {
    pub(crate) bytes: Bytes,
    /// Its share of the budget, to be held for as long as the bytes are.
    pub(crate) share: Option<SemaphorePermit<'a>>,
}

/// The whole body. Time is looked after elsewhere.
pub(crate) async fn receive<'a, B>(
    mut body: B,
    limits: &Limits,
    budget: &'a Semaphore,
) -> Result<Received<'a>, Early>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().lower();
    if announced > limits.body_bytes_max as u64 {
        return Err(Early::BodyTooLarge);
    }
    let announced = usize::try_from(announced).map_err(|_| Early::BodyTooLarge)?;
    let mut gathered = Gathered::Nothing;
    let mut share: Option<SemaphorePermit<'a>> = None;
    while let Some(frame) = body.frame().await {
        // Trailers are not signed and mean nothing here.
        let Ok(data) = frame.map_err(|_| Early::Unreadable)?.into_data() else { continue };
        let length = gathered.len() + data.len();
        if length > limits.body_bytes_max {
            return Err(Early::BodyTooLarge);
        }
        reserve(budget, &mut share, length)?;
        gathered = gathered.with(data, announced);
    }
    Ok(Received { bytes: gathered.into_bytes(), share })
}

/// Takes from the budget what a body of `length` bytes needs beyond what it has.
fn reserve<'a>(
    budget: &'a Semaphore,
    reserved: &mut Option<SemaphorePermit<'a>>,
    length: usize,
) -> Result<(), Early> {
    let units = length.saturating_sub(BODY_BYTES_FREE).div_ceil(BUDGET_UNIT_BYTES);
    let more = units.saturating_sub(reserved.as_ref().map_or(0, SemaphorePermit::num_permits));
    if more == 0 {
        return Ok(());
    }
    let more = u32::try_from(more).map_err(|_| Early::BodyTooLarge)?;
    let permit = budget.try_acquire_many(more).map_err(|_| Early::Overloaded)?;
    match reserved {
        Some(reserved) => reserved.merge(permit),
        None => *reserved = Some(permit),
    }
    Ok(())
}

/// The budget of all bodies that arrive or are being answered.
pub(crate) fn arriving_budget(limits: &Limits) -> Semaphore {
    Semaphore::new((limits.arriving_bytes_max / BUDGET_UNIT_BYTES).min(Semaphore::MAX_PERMITS))
}

/// What has come so far.
enum Gathered {
    Nothing,
    /// Most bodies come in one piece and are never copied.
    Piece(Bytes),
    Pieces(Zeroizing<Vec<u8>>),
}

impl Gathered {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Piece(piece) => piece.len(),
            Self::Pieces(bytes) => bytes.len(),
        }
    }

    /// With one more piece, of a body of `announced` bytes, or of an unknown number if that is 0.
    fn with(self, piece: Bytes, announced: usize) -> Self {
        match self {
            Self::Nothing if piece.is_empty() => Self::Nothing,
            Self::Nothing => Self::Piece(piece),
            Self::Piece(first) => Self::Pieces(joined(&first, &piece, announced)),
            Self::Pieces(bytes) if bytes.capacity() - bytes.len() < piece.len() => {
                Self::Pieces(joined(&bytes, &piece, announced))
            }
            Self::Pieces(mut bytes) => {
                bytes.extend_from_slice(&piece);
                Self::Pieces(bytes)
            }
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Piece(piece) => piece,
            Self::Pieces(bytes) => Bytes::from_owner(Wiped(bytes)),
        }
    }
}

/// Both in a new buffer, with room for as much again, but for no more than was announced: an announcement alone
/// takes no memory.
fn joined(one: &[u8], other: &[u8], announced: usize) -> Zeroizing<Vec<u8>> {
    let length = one.len() + other.len();
    let room = if announced >= length { announced.min(2 * length) } else { 2 * length };
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    bytes.extend_from_slice(one);
    bytes.extend_from_slice(other);
    bytes
}

/// Bytes that are wiped with their last reader.
struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole_in_buffers_that_never_grow_in_place() {
        for (pieces, announced, copies_max) in [
            (&[][..], 0, 0),
            (&[0, 5, 0], 5, 1),
            (&[5], 5, 0),
            (&[5, 5], 10, 1),
            (&[1000; 500], 500_000, 9),
            (&[1000; 500], 0, 9),
            // Less was announced than comes, which HTTP does not let through.
            (&[1000; 10], 3000, 9),
        ] {
            let (mut gathered, mut whole, mut copies) = (Gathered::Nothing, Vec::new(), 0);
            for (number, &length) in pieces.iter().enumerate() {
                let piece = Bytes::from(vec![u8::try_from(number % 251).unwrap(); length]);
                whole.extend_from_slice(&piece);
                let before = match &gathered {
                    Gathered::Pieces(bytes) => (bytes.as_ptr(), bytes.capacity()),
                    Gathered::Nothing | Gathered::Piece(_) => (std::ptr::null(), 0),
                };
                gathered = gathered.with(piece, announced);
                if let Gathered::Pieces(bytes) = &gathered {
                    copies += usize::from(before != (bytes.as_ptr(), bytes.capacity()));
                    assert!(bytes.capacity() <= announced.max(2 * bytes.len()));
                }
            }
            assert_eq!(gathered.into_bytes(), whole);
            assert!(copies <= copies_max, "{copies} copies of {announced}");
        }
    }

    #[tokio::test]
    async fn a_whole_body_holds_its_share_until_it_is_let_go() {
        let limits = Limits { body_bytes_max: BODY_BYTES_FREE + 10_240, ..Limits::default() };
        let budget = Semaphore::new(10);
        let receive = |length| receive(http_body_util::Full::from(vec![7; length]), &limits, &budget);
        let small = receive(BODY_BYTES_FREE).await.ok().unwrap();
        assert!(small.share.is_none());
        let large = receive(BODY_BYTES_FREE + 10_240).await.ok().unwrap();
        assert_eq!((large.bytes.len(), budget.available_permits()), (BODY_BYTES_FREE + 10_240, 0));
        assert!(matches!(receive(BODY_BYTES_FREE + 1).await, Err(Early::Overloaded)));
        assert!(receive(BODY_BYTES_FREE).await.is_ok());
        drop(large);
        assert_eq!(budget.available_permits(), 10);
        assert!(matches!(receive(BODY_BYTES_FREE + 10_241).await, Err(Early::BodyTooLarge)));
        assert_eq!(budget.available_permits(), 10);
    }

    #[test]
    fn a_budget_is_taken_beyond_what_is_free() {
        let budget = Semaphore::new(10);
        let mut reserved = None;
        for (length, left) in [(BODY_BYTES_FREE, 10), (BODY_BYTES_FREE + 1, 9), (BODY_BYTES_FREE + 10_240, 0)]
        {
            reserve(&budget, &mut reserved, length).unwrap();
            assert_eq!(budget.available_permits(), left);
        }
        assert!(matches!(reserve(&budget, &mut reserved, BODY_BYTES_FREE + 10_241), Err(Early::Overloaded)));
        drop(reserved);
        assert_eq!(budget.available_permits(), 10);
    }
}
