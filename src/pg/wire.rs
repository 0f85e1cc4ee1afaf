//! What scopes say to each other, versions 0 (OTP 24 to 28) and 1 (OTP 29).

use crate::term::{Map, Pid, Term};

/// A change of a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Update {
    pub(super) group: Term,
    pub(super) added: Vec<Pid>,
    pub(super) removed: Vec<Pid>,
}

/// A message; each begins with the scope that sends it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    /// "Here I am, what have you?" OTP 25 dies of any version but 0, which is not written.
    Discover(Pid, i64),
    /// All that the sender's node has.
    Sync(Pid, i64, Vec<(Term, Vec<Pid>)>),
    Join(Pid, Term, Vec<Pid>),
    /// One membership of each process in each of the groups.
    Leave(Pid, Vec<Pid>, Vec<Term>),
    Update(Pid, Vec<Update>),
}

fn tuple<const N: usize>(items: [Term; N]) -> Term {
    Term::tuple(items)
}

fn pids(pids: &[Pid]) -> Term {
    Term::list(pids.iter().map(|pid| Term::Pid(*pid)).collect::<Vec<_>>())
}

impl Message {
    pub(super) fn term(&self) -> Term {
        let cast = |message| tuple([Term::atom("$gen_cast"), message]);
        match self {
            Self::Discover(me, version) if *version >= 1 => tuple([Term::atom("discover"), (*me).into(), 1.into()]),
            Self::Discover(me, _) => tuple([Term::atom("discover"), (*me).into()]),
            Self::Sync(me, version, groups) if *version >= 1 => {
                let groups = groups.iter().map(|(group, members)| (group.clone(), pids(members))).collect();
                let groups = Map::try_from_pairs(groups).unwrap_or_default();
                cast(tuple([Term::atom("local_data"), (*me).into(), 1.into(), Term::Map(groups)]))
            }
            Self::Sync(me, _, groups) => {
                let groups = groups.iter().map(|(group, members)| tuple([group.clone(), pids(members)]));
                cast(tuple([Term::atom("sync"), (*me).into(), Term::list(groups.collect::<Vec<_>>())]))
            }
            Self::Join(me, group, joined) => tuple([Term::atom("join"), (*me).into(), group.clone(), pids(joined)]),
            Self::Leave(me, left, groups) => {
                tuple([Term::atom("leave"), (*me).into(), pids(left), Term::list(groups.clone())])
            }
            Self::Update(me, updates) => {
                let updates = updates
                    .iter()
                    .map(|Update { group, added, removed }| tuple([group.clone(), pids(added), pids(removed)]));
                tuple([Term::atom("update"), (*me).into(), Term::list(updates.collect::<Vec<_>>())])
            }
        }
    }

    /// Reads a bare message, or what a cast says.
    pub(super) fn read(term: &Term) -> Option<Self> {
        let [tag, peer, rest @ ..] = term.as_tuple()? else { return None };
        let peer = peer.as_pid()?;
        Some(match (tag.as_atom()?.as_str(), rest) {
            ("discover", []) => Self::Discover(peer, 0),
            ("discover", [version]) => Self::Discover(peer, version.as_i64()?.min(1)),
            ("sync", [groups]) => {
                let groups = groups.as_list().filter(|list| list.is_proper())?.iter().map(|pair| {
                    let [group, members] = pair.as_tuple()? else { return None };
                    Some((group.clone(), read_pids(members)?))
                });
                Self::Sync(peer, 0, groups.collect::<Option<_>>()?)
            }
            ("local_data", [version, groups]) => {
                let groups = groups.as_map()?.iter().map(|(group, members)| Some((group.clone(), read_pids(members)?)));
                Self::Sync(peer, version.as_i64()?.min(1), groups.collect::<Option<_>>()?)
            }
            ("join", [group, joined]) => Self::Join(peer, group.clone(), read_pids(joined)?),
            ("leave", [left, groups]) => Self::Leave(peer, read_pids(left)?, groups.list_items()?),
            ("update", [updates]) => {
                let updates = updates.as_list().filter(|list| list.is_proper())?.iter().map(|update| {
                    let [group, added, removed] = update.as_tuple()? else { return None };
                    Some(Update { group: group.clone(), added: read_pids(added)?, removed: read_pids(removed)? })
                });
                Self::Update(peer, updates.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

/// One pid, or a list of them.
fn read_pids(term: &Term) -> Option<Vec<Pid>> {
    if let Term::Pid(pid) = term {
        return Some(vec![*pid]);
    }
    term.as_list().filter(|list| list.is_proper())?.iter().map(|pid| pid.as_pid()).collect()
}
