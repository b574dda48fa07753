//! The archive format: an ordinary `.gz` of many members, with random access.
//!
//! ```text
//! data member     whole lines, about 1 MiB raw each; a longer line makes a longer member
//! …
//! index member    no data; its gzip extra field "PI" holds a piece of the index, at most 60 KiB
//! …
//! footer member   no data; its extra field "PF" says where the index begins, and the totals
//! ```
//!
//! `gunzip`, `zcat` and every gzip library skip extra fields and give the raw bytes back
//! unchanged, an empty log and a log without a final newline included. The footer has a fixed
//! size, so one range request for the tail finds the index, and one more fetches any lines.
//! The same raw bytes always make the same archive, all at once or while they come.
//!
//! Pure: bytes, `Read` and `Write` only. It knows nothing of records, files or S3, and lines are
//! whatever ends in `\n`; how to read a line's time and level is the caller's matter.

mod compress;
mod index;
mod mark;
mod member;
mod read;

pub use compress::{ArchiveSummary, Compressor, compress, compress_rest, encode_member};
pub use index::{Index, IndexTail};
pub use mark::{ArchiveMark, leads_to, state_of};
pub use member::{LEVELS, LineFacts, Member};
pub use read::{BoundedReader, MAX_MEMBER, decode_member};
