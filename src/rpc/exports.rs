//! Which functions peers may call: an allow-list by construction.
//!
//! On a BEAM any function of any loaded module can be called and spawned by a peer. Here only what the
//! program exported; everything else is `undef`.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::CallContext;
use crate::etf::Encoded;
use crate::term::{Atom, Term, atom::known};

/// How an exported function fails: Erlang's three classes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Raise {
    /// `erlang:error(Reason)`, with the stack as far as it is known.
    Error(Term, Vec<Term>),
    /// `throw(Term)`.
    Throw(Term),
    /// `exit(Reason)`.
    Exit(Term),
}

impl Raise {
    /// An error of this reason.
    #[must_use]
    pub fn error(reason: impl Into<Term>) -> Self {
        Self::Error(reason.into(), Vec::new())
    }

    /// `badarg`.
    #[must_use]
    pub fn badarg() -> Self {
        Self::error(known::badarg())
    }

    /// `undef`, naming the function as a BEAM's stack does.
    #[must_use]
    pub fn undef(module: Atom, function: Atom, args: Term) -> Self {
        Self::Error(known::undef().into(), vec![frame(module, function, args)])
    }
}

/// `{Module, Function, Args, []}`: one line of a stack.
fn frame(module: Atom, function: Atom, args: Term) -> Term {
    Term::tuple([module.into(), function.into(), args, Term::nil()])
}

/// What an exported function returns.
pub type Returned = Result<Encoded, Raise>;

type Future_ = Pin<Box<dyn Future<Output = Returned> + Send>>;

/// A function that peers may call: gets its context and the list of its arguments.
pub(crate) type Handler = Arc<dyn Fn(CallContext, Encoded) -> Future_ + Send + Sync>;

/// The arguments of a typed function: a tuple of what each decodes to.
pub trait Args: DeserializeOwned + Send + 'static {
    /// How many.
    const ARITY: u8;
}

macro_rules! args {
    ($($arity:literal: $($name:ident)*;)*) => {
        $(impl<$($name: DeserializeOwned + Send + 'static),*> Args for ($($name,)*) {
            const ARITY: u8 = $arity;
        })*
    };
}

args! { 1: A; 2: A B; 3: A B C; 4: A B C D; 5: A B C D E; 6: A B C D E F; }

impl Args for () {
    const ARITY: u8 = 0;
}

/// The functions of a node, by module, function and arity.
#[derive(Default)]
pub(crate) struct Exports(RwLock<HashMap<(Atom, Atom, u8), Handler>>, AtomicU64);

impl std::fmt::Debug for Exports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.list()).finish()
    }
}

impl Exports {
    /// Adds a function, replacing one of the same name and arity.
    pub(crate) fn add(&self, mfa: (Atom, Atom, u8), handler: Handler) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(mfa, handler);
    }

    /// How many calls of functions there were, unknown ones included.
    pub(crate) fn calls(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }

    /// Counts one more call.
    pub(crate) fn called(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn find(&self, mfa: (Atom, Atom, u8)) -> Option<Handler> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&mfa).cloned()
    }

    /// All functions.
    pub(crate) fn list(&self) -> Vec<(Atom, Atom, u8)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Whether any function of the module is exported.
    pub(crate) fn has_module(&self, module: Atom) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().any(|(m, _, _)| *m == module)
    }
}

/// A handler from a typed asynchronous function. Arguments of another shape raise `badarg`.
pub(crate) fn typed<A, R, F, Fut>(function: F) -> Handler
where
    A: Args,
    R: Serialize,
    F: Fn(CallContext, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Raise>> + Send + 'static,
{
    Arc::new(move |context, args| {
        let running = args.decode::<A>().map(|args| function(context, args));
        Box::pin(async move {
            let result = running.map_err(|_other_shape| Raise::badarg())?.await?;
            Encoded::of(&result).map_err(|_not_a_term| Raise::badarg())
        })
    })
}

/// A handler from a function over terms.
pub(crate) fn untyped<F, Fut>(function: F) -> Handler
where
    F: Fn(CallContext, Vec<Term>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Term, Raise>> + Send + 'static,
{
    Arc::new(move |context, args| {
        let running = args.term().ok().and_then(|args| args.list_items()).map(|args| function(context, args));
        Box::pin(async move {
            let result = running.ok_or_else(Raise::badarg)?.await?;
            Encoded::new(&result).map_err(|_not_a_term| Raise::badarg())
        })
    })
}
