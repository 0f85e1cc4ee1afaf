//! Match specifications over terms, as `ets:select/2` takes them: what Elixir users give `Horde.Registry.select/2`.
//!
//! A specification is a list of `{Head, Guards, Body}`; of the first whose head and guards match, the body's last
//! expression is the result. A guard that fails to evaluate is false; a body that does is `'EXIT'`.

use num_bigint::BigInt;

use crate::term::{List, Map, Term, atom::known};

/// A specification that was read.
#[derive(Debug, Clone)]
pub(crate) struct MatchSpec(Vec<Clause>);

#[derive(Debug, Clone)]
struct Clause {
    head: Term,
    guards: Vec<Term>,
    body: Vec<Term>,
}

/// Variables by number: `$1` is 1.
type Bindings = Vec<(u32, Term)>;

/// How deep patterns and expressions may nest.
const DEPTH: u32 = 64;

impl MatchSpec {
    /// Reads a list of `{Head, Guards, Body}`; `head` may change each head.
    pub(crate) fn parse(term: &Term, head: impl Fn(&Term) -> Option<Term>) -> Option<Self> {
        let clauses = term.as_list().filter(|list| list.is_proper())?;
        let clauses = clauses.iter().map(|clause| {
            let [first, guards, body] = clause.as_tuple()? else { return None };
            let clause = Clause { head: head(first)?, guards: guards.list_items()?, body: body.list_items()? };
            (!clause.body.is_empty()).then_some(clause)
        });
        clauses.collect::<Option<_>>().map(Self)
    }

    /// The result for a row, if it matches.
    pub(crate) fn run(&self, row: &Term) -> Option<Term> {
        self.0.iter().find_map(|clause| {
            let mut bindings = Bindings::new();
            if !matches(&clause.head, row, &mut bindings, DEPTH) {
                return None;
            }
            let scope = Scope { row, bindings: &bindings };
            let holds = |guard: &Term| scope.eval(guard, DEPTH).is_some_and(|value| value.is_atom("true"));
            if !clause.guards.iter().all(holds) {
                return None;
            }
            let last = clause.body.last()?;
            Some(scope.eval(last, DEPTH).unwrap_or_else(|| known::exit_signal().into()))
        })
    }
}

/// `$N`.
fn variable(term: &Term) -> Option<u32> {
    term.as_atom()?.as_str().strip_prefix('$')?.parse().ok()
}

fn matches(pattern: &Term, term: &Term, bindings: &mut Bindings, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    if pattern.is_atom("_") {
        return true;
    }
    if let Some(number) = variable(pattern) {
        return match bindings.iter().find(|(bound, _)| *bound == number) {
            Some((_, value)) => value == term,
            None => {
                bindings.push((number, term.clone()));
                true
            }
        };
    }
    match (pattern, term) {
        (Term::Tuple(pattern), Term::Tuple(tuple)) => {
            pattern.len() == tuple.len()
                && pattern.iter().zip(tuple.iter()).all(|(p, t)| matches(p, t, bindings, depth))
        }
        (Term::List(pattern), Term::List(list)) => match_lists(pattern, list, bindings, depth),
        (Term::Map(pattern), Term::Map(map)) => {
            pattern.iter().all(|(key, p)| map.get(key).is_some_and(|value| matches(p, value, bindings, depth)))
        }
        _ => pattern == term,
    }
}

fn match_lists(pattern: &List, list: &List, bindings: &mut Bindings, depth: u32) -> bool {
    let (wanted, there) = (pattern.len(), list.len());
    if wanted > there {
        return false;
    }
    if !pattern.iter().zip(list.iter()).all(|(p, t)| matches(&p, &t, bindings, depth)) {
        return false;
    }
    let rest: Vec<Term> = list.iter().skip(wanted).map(std::borrow::Cow::into_owned).collect();
    let rest = List::improper(rest, list.tail().cloned().unwrap_or_default());
    match pattern.tail() {
        Some(tail) => matches(tail, &rest, bindings, depth),
        None => rest == Term::nil(),
    }
}

struct Scope<'a> {
    row: &'a Term,
    bindings: &'a Bindings,
}

impl Scope<'_> {
    /// The value of an expression; `None` where it raises.
    fn eval(&self, expression: &Term, depth: u32) -> Option<Term> {
        let depth = depth.checked_sub(1)?;
        match expression {
            Term::Atom(_) => self.atom(expression),
            Term::Tuple(tuple) => match &tuple[..] {
                [Term::Tuple(made)] => {
                    Some(Term::tuple(made.iter().map(|item| self.eval(item, depth)).collect::<Option<Vec<_>>>()?))
                }
                [Term::Atom(quoted), value] if *quoted == "const" => Some(value.clone()),
                [Term::Atom(function), args @ ..] => self.call(function.as_str(), args, depth),
                _ => None,
            },
            Term::List(list) => {
                let items = list.iter().map(|item| self.eval(&item, depth)).collect::<Option<Vec<_>>>()?;
                let tail = list.tail().map(|tail| self.eval(tail, depth));
                Some(match tail {
                    Some(tail) => List::improper(items, tail?),
                    None => items.into(),
                })
            }
            Term::Map(map) => {
                let pairs = map.iter().map(|(key, value)| Some((self.eval(key, depth)?, self.eval(value, depth)?)));
                Some(pairs.collect::<Option<Map>>()?.into())
            }
            literal => Some(literal.clone()),
        }
    }

    fn atom(&self, atom: &Term) -> Option<Term> {
        if let Some(number) = variable(atom) {
            return self.bindings.iter().find(|(bound, _)| *bound == number).map(|(_, value)| value.clone());
        }
        if atom.is_atom("$_") {
            return Some(self.row.clone());
        }
        if atom.is_atom("$$") {
            let mut all = self.bindings.clone();
            all.sort_by_key(|(number, _)| *number);
            return Some(Term::list(all.into_iter().map(|(_, value)| value).collect::<Vec<_>>()));
        }
        Some(atom.clone())
    }

    fn call(&self, function: &str, args: &[Term], depth: u32) -> Option<Term> {
        // These look at their arguments one after the other.
        match function {
            "andalso" | "and" => return self.all(args, depth, true),
            "orelse" | "or" => return self.all(args, depth, false),
            _ => {}
        }
        let values = args.iter().map(|arg| self.eval(arg, depth)).collect::<Option<Vec<_>>>()?;
        compare(function, &values).or_else(|| test(function, &values)).or_else(|| compute(function, &values))
    }

    fn all(&self, args: &[Term], depth: u32, wanted: bool) -> Option<Term> {
        for arg in args {
            if self.eval(arg, depth)?.as_bool()? != wanted {
                return Some((!wanted).into());
            }
        }
        Some(wanted.into())
    }
}

fn compare(function: &str, values: &[Term]) -> Option<Term> {
    let [a, b] = values else { return None };
    let order = a.compare(b);
    Some(Term::from(match function {
        "==" => order.is_eq(),
        "/=" => order.is_ne(),
        "=:=" => a == b,
        "=/=" => a != b,
        "<" => order.is_lt(),
        "=<" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        _ => return None,
    }))
}

fn test(function: &str, values: &[Term]) -> Option<Term> {
    let Some((value, [])) = values.split_first() else { return None };
    Some(Term::from(match function {
        "is_atom" => value.as_atom().is_some(),
        "is_boolean" => value.as_bool().is_some(),
        "is_integer" => matches!(value, Term::Integer(_)),
        "is_float" => matches!(value, Term::Float(_)),
        "is_number" => matches!(value, Term::Integer(_) | Term::Float(_)),
        "is_pid" => value.as_pid().is_some(),
        "is_port" => matches!(value, Term::Port(_)),
        "is_reference" => value.as_ref().is_some(),
        "is_binary" => value.as_binary().is_some(),
        "is_list" => value.as_list().is_some(),
        "is_tuple" => value.as_tuple().is_some(),
        "is_map" => value.as_map().is_some(),
        "is_function" => matches!(value, Term::Fun(_)),
        "not" => !value.as_bool()?,
        _ => return None,
    }))
}

fn compute(function: &str, values: &[Term]) -> Option<Term> {
    match (function, values) {
        ("element", [n, tuple]) => {
            let at = usize::try_from(n.as_i64()?).ok()?.checked_sub(1)?;
            tuple.as_tuple()?.get(at).cloned()
        }
        ("tuple_size" | "size", [Term::Tuple(tuple)]) => Some(tuple.len().into()),
        ("byte_size" | "size", [Term::Binary(binary)]) => Some(binary.len().into()),
        ("map_size", [Term::Map(map)]) => Some(map.len().into()),
        ("map_get", [key, Term::Map(map)]) => map.get(key).cloned(),
        ("is_map_key", [key, Term::Map(map)]) => Some(map.contains_key(key).into()),
        ("length", [Term::List(list)]) if list.is_proper() => Some(list.len().into()),
        ("hd", [Term::List(list)]) => list.iter().next().map(std::borrow::Cow::into_owned),
        ("node", [Term::Pid(pid)]) => Some(pid.node.into()),
        ("abs", [Term::Integer(n)]) => Some(BigInt::from(n.to_big().magnitude().clone()).into()),
        ("+" | "-" | "*" | "div" | "rem", [Term::Integer(a), Term::Integer(b)]) => {
            let (a, b) = (a.to_big(), b.to_big());
            let by_zero = b == BigInt::ZERO;
            Some(Term::from(match function {
                "+" => a + b,
                "-" => a - b,
                "*" => a * b,
                "div" if !by_zero => a / b,
                "rem" if !by_zero => a % b,
                _ => return None,
            }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term;

    fn run(spec: &Term, row: &Term) -> Option<Term> {
        MatchSpec::parse(spec, |head| Some(head.clone())).and_then(|spec| spec.run(row))
    }

    #[test]
    fn a_head_binds_what_the_body_uses() {
        let row = term!({"k", :"a@h", 3});
        let spec = term!([{{:"$1", :"_", :"$2"}, [{:">", :"$2", 2}], [{{:"$2", :"$1"}}]}]);
        assert_eq!(run(&spec, &row), Some(term!({3, "k"})));
        let spec = term!([{{:"$1", :"_", :"$1"}, [], [:"$_"]}]);
        assert_eq!(run(&spec, &row), None, "a variable means one thing");
        assert_eq!(run(&term!([{:"_", [], [:"$$"]}]), &row), Some(term!([])));
    }

    #[test]
    fn the_first_clause_that_matches_decides() {
        let spec =
            term!([{{1}, [], [:one]}, {{:"$1"}, [{:is_integer, :"$1"}], [{:"+", :"$1", 1}]}, {:"_", [], [true]}]);
        assert_eq!(run(&spec, &term!({ 1 })), Some(term!(:one)));
        assert_eq!(run(&spec, &term!({ 2 })), Some(term!(3)));
        assert_eq!(run(&spec, &term!({:x})), Some(term!(true)));
    }

    #[test]
    fn guards_that_raise_are_false_and_bodies_that_raise_are_exit() {
        assert_eq!(run(&term!([{{:"$1"}, [{:"+", :"$1", 1}], [:yes]}]), &term!({:a})), None);
        assert_eq!(run(&term!([{{:"$1"}, [], [{:hd, :"$1"}]}]), &term!({:a})), Some(term!(:EXIT)));
        assert_eq!(run(&term!([{{:"$1"}, [{:div, 1, 0}], [:yes]}]), &term!({:a})), None);
    }

    #[test]
    fn lists_and_maps_are_patterns_too() {
        let tail = Term::tuple([List::improper(vec![term!(:"$1")], term!(:"$2"))]);
        let spec = Term::list(vec![Term::tuple([tail, Term::nil(), term!([{{:"$1", :"$2"}}])])]);
        assert_eq!(run(&spec, &term!({ [1, 2, 3] })), Some(term!({1, [2, 3]})));
        let spec = term!([{{%{role: (term!(:"$1"))}}, [{:orelse, {:"=:=", :"$1", :a}, {:not, true}}], [:"$1"]}]);
        assert_eq!(run(&spec, &term!({%{role: :a, more: 1}})), Some(term!(:a)));
        assert_eq!(run(&spec, &term!({%{role: :b}})), None);
    }

    #[test]
    fn what_is_no_specification_is_refused() {
        for junk in [term!(:x), term!([{:"_", []}]), term!([{:"_", [], []}]), term!([{:"_", :x, [1]}])] {
            assert!(MatchSpec::parse(&junk, |head| Some(head.clone())).is_none(), "{junk}");
        }
    }

    #[test]
    fn endless_nesting_ends() {
        let mut deep = term!(:"$1");
        for _ in 0..1_000 {
            deep = Term::tuple([term!(:not), deep]);
        }
        assert_eq!(
            run(&Term::list(vec![Term::tuple([term!(:"_"), Term::nil(), Term::list(vec![deep])])]), &term!(1)),
            Some(term!(:EXIT))
        );
    }
}
