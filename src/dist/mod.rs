//! The protocol between connected nodes: frames, control messages, fragments, the atom cache, ticks.
//!
//! After the handshake each side sends frames behind 32-bit lengths (`frame`). An empty one is a
//! *tick*, which only says that its sender lives (`tick`). What a frame holds depends on the flags
//! that both published:
//!
//! ```text
//! neither DIST_HDR_ATOM_CACHE nor FRAGMENTS   112 131 control [131 payload]
//! either one                                  131 68 header control [payload]
//! FRAGMENTS, a long message                   131 69 sequence n header control payload…
//!                                             131 70 sequence n-1 …payload…   down to 1
//! ```
//!
//! *header* names the atoms that `ATOM_CACHE_REF` stands for in this message; it changes the cache of
//! its direction when the frame arrives, so frames are decoded in order (`atom_cache`). Fragments of
//! several messages, whole messages and ticks may alternate, but one sender's signals may not overtake
//! each other (`fragment`, `reassembly`). *control* is a tuple that starts with a number, and is one
//! `Signal` together with its payload (`decode`, `encode`).
//!
//! OTP: "Distribution Protocol", section "Protocol between Connected Nodes"; the decoder's rules are
//! those of `erts_prepare_dist_ext` and `erts_net_message` in `erts/emulator/beam`.

mod atom_cache;
mod decode;
mod decoder;
mod encode;
mod error;
mod fragment;
mod frame;
mod op;
mod reassembly;
mod tick;

pub(crate) use self::decoder::{FrameDecoder, Limits};
pub(crate) use self::encode::{Encoder, Unsent};
pub use self::error::Error;
pub(crate) use self::fragment::Frames;
pub(crate) use self::frame::{Frame, TICK, missing, next_frame};
pub(crate) use self::tick::{Counters, Tick, TickAction};

#[cfg(fuzzing)]
pub use self::decoder::fuzz_dist;
