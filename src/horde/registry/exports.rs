//! `'Elixir.Horde.Registry'` for callers on other nodes, on the members that this node runs.

use super::{HordeRegistry, Registries};
use crate::horde::match_spec::MatchSpec;
use crate::node::Node;
use crate::rpc::{CallContext, Raise};
use crate::term;
use crate::term::{Term, atom::known};

const MODULE: &str = "Elixir.Horde.Registry";

pub(super) fn export(node: &Node) {
    node.export_terms(MODULE, "lookup", 2, |context, args| async move {
        let found = registry(&context, &args[0])?.lookup_term(&args[1]).await;
        Ok(found.map(|(pid, value)| Term::tuple([pid.into(), value])).into_iter().collect::<Vec<_>>().into())
    });
    node.export_terms(MODULE, "whereis_name", 1, |context, args| async move {
        let named = context.node.extension::<Registries>().of_name(&args[0]);
        let (registry, key, _) = named.ok_or_else(Raise::badarg)?;
        Ok(registry.lookup_term(&key).await.map_or_else(|| known::undefined().into(), |(pid, _)| pid.into()))
    });
    answer(node, "keys", 2, |registry, args| {
        let pid = args[1].as_pid().ok_or_else(Raise::badarg)?;
        Ok(registry.keys(pid).into())
    });
    answer(node, "count", 1, |registry, _| Ok(registry.count().into()));
    answer(node, "select", 2, |registry, args| {
        // `{Key, Pid, Value}` of a row `{Key, Member, {Pid, Value}}`.
        let head = |head: &Term| {
            let [key, pid, value] = head.as_tuple()? else { return None };
            Some(Term::tuple([key.clone(), Term::atom("_"), Term::tuple([pid.clone(), value.clone()])]))
        };
        let spec = MatchSpec::parse(&args[1], head).ok_or_else(Raise::badarg)?;
        Ok(registry.rows(|row| spec.run(&row)).into())
    });
    for arity in [3, 4] {
        answer(node, "match", arity, |registry, args| matching(registry, args).map(Term::from));
        answer(node, "count_match", arity, |registry, args| Ok(matching(registry, args)?.len().into()));
    }
    answer(node, "meta", 2, |registry, args| {
        let found = registry.meta_term(&args[1]);
        Ok(found.map_or_else(|| known::error().into(), |value| Term::tuple([known::ok().into(), value])))
    });
    answer(node, "put_meta", 3, |registry, args| {
        registry.put_meta(&args[1], &args[2]).map_err(|_ended| Raise::badarg())?;
        Ok(known::ok().into())
    });
    answer(node, "delete_meta", 2, |registry, args| {
        registry.delete_meta(&args[1]).map_err(|_ended| Raise::badarg())?;
        Ok(known::ok().into())
    });
    // What a registration outlives is the process that asks for it, so callers of `rpc` give the pid.
    node.export_terms(MODULE, "register_name", 2, |context, args| async move {
        let named = context.node.extension::<Registries>().of_name(&args[0]);
        let (registry, key, value) = named.ok_or_else(Raise::badarg)?;
        let pid = args[1].as_pid().ok_or_else(Raise::badarg)?;
        let yes = registry.register_term(key, pid, value).await.is_ok();
        Ok((if yes { known::yes() } else { known::no() }).into())
    });
    node.export_terms(MODULE, "unregister_name", 1, |context, args| async move {
        let named = context.node.extension::<Registries>().of_name(&args[0]);
        let (registry, key, _) = named.ok_or_else(Raise::badarg)?;
        registry.unregister_term(&key).map_err(|_ended| Raise::badarg())?;
        Ok(known::ok().into())
    });
}

fn registry(context: &CallContext, name: &Term) -> Result<HordeRegistry, Raise> {
    let name = name.as_atom().ok_or_else(Raise::badarg)?;
    context.node.extension::<Registries>().lock().get(&name).cloned().ok_or_else(Raise::badarg)
}

fn answer<F>(node: &Node, name: &str, arity: u8, function: F)
where
    F: Fn(&HordeRegistry, &[Term]) -> Result<Term, Raise> + Send + Sync + 'static,
{
    node.export_terms(MODULE, name, arity, move |context, args| {
        std::future::ready(registry(&context, &args[0]).and_then(|registry| function(&registry, &args)))
    });
}

/// The rows of a key whose values match the pattern and guards: `[{Pid, Value}]`.
fn matching(registry: &HordeRegistry, args: &[Term]) -> Result<Vec<Term>, Raise> {
    let [_, key, pattern, guards @ ..] = args else { return Err(Raise::badarg()) };
    let is_key = term!({:"=:=", {:element, 1, :"$_"}, {:const, (key.clone())}});
    let mut all = vec![is_key];
    if let Some(guards) = guards.first() {
        let guards = guards.as_list().filter(|list| list.is_proper()).ok_or_else(Raise::badarg)?;
        all.extend(guards.iter().map(std::borrow::Cow::into_owned));
    }
    let head = Term::tuple([term!(:"_"), term!(:"_"), Term::tuple([term!(:"_"), pattern.clone()])]);
    let body = Term::list(vec![term!({:element, 3, :"$_"})]);
    let spec = Term::list(vec![Term::tuple([head, all.into(), body])]);
    let spec = MatchSpec::parse(&spec, |head| Some(head.clone())).ok_or_else(Raise::badarg)?;
    Ok(registry.rows(|row| spec.run(&row)))
}
