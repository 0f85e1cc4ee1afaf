//! `term!`: terms written as Elixir writes them.

/// A [`Term`](crate::Term) written in Elixir's syntax, with Rust expressions wherever a value stands.
///
/// Atoms are `:name` or `:"any text"`, and `nil`, `true` and `false`; tuples, lists and maps are written as in Elixir; what
/// else stands there is a Rust expression of a type that becomes a term ([`Into<Term>`](crate::Term)): numbers, texts
/// (binaries), pids, references, terms.
///
/// ```
/// use tiebeam::{Term, term};
///
/// let name = "Ann";
/// let term = term!({:ok, [1, 2.5, -3], %{name: name, "age" => 42, none: nil}});
/// assert_eq!(term.to_string(), r#"{ok,[1,2.5,-3],#{name => <<"Ann">>,none => nil,<<"age">> => 42}}"#);
/// assert_eq!(term!(:"any text"), Term::atom("any text"));
/// assert_eq!(term!([]), Term::nil());
/// ```
#[macro_export]
macro_rules! term {
    // The elements of a tuple or list, one after the other.
    (@items [$($done:expr,)*]) => { ::std::vec![$($done),*] };
    (@items [$($done:expr,)*] , $($rest:tt)*) => { $crate::term!(@items [$($done,)*] $($rest)*) };
    (@items [$($done:expr,)*] : $name:ident $($rest:tt)*) => {
        $crate::term!(@items [$($done,)* $crate::term!(: $name),] $($rest)*)
    };
    (@items [$($done:expr,)*] : $name:literal $($rest:tt)*) => {
        $crate::term!(@items [$($done,)* $crate::term!(: $name),] $($rest)*)
    };
    (@items [$($done:expr,)*] nil $($rest:tt)*) => {
        $crate::term!(@items [$($done,)* $crate::term!(nil),] $($rest)*)
    };
    (@items [$($done:expr,)*] { $($inner:tt)* } $($rest:tt)*) => {
        $crate::term!(@items [$($done,)* $crate::term!({ $($inner)* }),] $($rest)*)
    };
    (@items [$($done:expr,)*] [ $($inner:tt)* ] $($rest:tt)*) => {
        $crate::term!(@items [$($done,)* $crate::term!([ $($inner)* ]),] $($rest)*)
    };
    (@items [$($done:expr,)*] % { $($inner:tt)* } $($rest:tt)*) => {
        $crate::term!(@items [$($done,)* $crate::term!(% { $($inner)* }),] $($rest)*)
    };
    (@items [$($done:expr,)*] $next:expr, $($rest:tt)*) => {
        $crate::term!(@items [$($done,)* $crate::Term::from($next),] $($rest)*)
    };
    (@items [$($done:expr,)*] $last:expr) => {
        $crate::term!(@items [$($done,)* $crate::Term::from($last),])
    };

    // The pairs of a map: a key, then its value.
    (@pairs $map:ident) => {};
    (@pairs $map:ident , $($rest:tt)*) => { $crate::term!(@pairs $map $($rest)*) };
    (@pairs $map:ident $key:ident : $($rest:tt)*) => {
        $crate::term!(@value $map ($crate::term!(: $key)) $($rest)*)
    };
    (@pairs $map:ident : $key:ident => $($rest:tt)*) => {
        $crate::term!(@value $map ($crate::term!(: $key)) $($rest)*)
    };
    (@pairs $map:ident { $($key:tt)* } => $($rest:tt)*) => {
        $crate::term!(@value $map ($crate::term!({ $($key)* })) $($rest)*)
    };
    (@pairs $map:ident $key:expr => $($rest:tt)*) => {
        $crate::term!(@value $map ($crate::Term::from($key)) $($rest)*)
    };
    (@value $map:ident ($key:expr) : $name:ident $($rest:tt)*) => {
        $map.insert($key, $crate::term!(: $name));
        $crate::term!(@pairs $map $($rest)*)
    };
    (@value $map:ident ($key:expr) nil $($rest:tt)*) => {
        $map.insert($key, $crate::term!(nil));
        $crate::term!(@pairs $map $($rest)*)
    };
    (@value $map:ident ($key:expr) { $($inner:tt)* } $($rest:tt)*) => {
        $map.insert($key, $crate::term!({ $($inner)* }));
        $crate::term!(@pairs $map $($rest)*)
    };
    (@value $map:ident ($key:expr) [ $($inner:tt)* ] $($rest:tt)*) => {
        $map.insert($key, $crate::term!([ $($inner)* ]));
        $crate::term!(@pairs $map $($rest)*)
    };
    (@value $map:ident ($key:expr) % { $($inner:tt)* } $($rest:tt)*) => {
        $map.insert($key, $crate::term!(% { $($inner)* }));
        $crate::term!(@pairs $map $($rest)*)
    };
    (@value $map:ident ($key:expr) $value:expr, $($rest:tt)*) => {
        $map.insert($key, $crate::Term::from($value));
        $crate::term!(@pairs $map $($rest)*)
    };
    (@value $map:ident ($key:expr) $value:expr) => {
        $map.insert($key, $crate::Term::from($value));
    };

    (: $name:ident) => { $crate::Term::atom(::std::stringify!($name)) };
    (: $name:literal) => { $crate::Term::atom($name) };
    (nil) => { $crate::Term::atom("nil") };
    ({ $($inner:tt)* }) => { $crate::Term::tuple($crate::term!(@items [] $($inner)*)) };
    ([ $($inner:tt)* ]) => { $crate::Term::list($crate::term!(@items [] $($inner)*)) };
    (% {}) => { $crate::Term::Map($crate::term::Map::new()) };
    (% { $($inner:tt)+ }) => {{
        let mut map = $crate::term::Map::new();
        $crate::term!(@pairs map $($inner)+);
        $crate::Term::Map(map)
    }};
    ($value:expr) => { $crate::Term::from($value) };
}

#[cfg(test)]
mod tests {
    use crate::term::Term;

    #[test]
    fn nested_terms_are_written_as_they_are_read() {
        let inner = Term::from(7);
        let made = [
            (term!({:hello, {:deep, [:a, {}, []]}, inner.clone()}), "{hello,{deep,[a,{},[]]},7}"),
            (term!([%{a: 1, "c" => [1, 2.5], :d => :e}, true, -1]), "[#{a => 1,d => e,<<\"c\">> => [1,2.5]},true,-1]"),
            (term!(%{b: {:x, nil}, {1, 2} => %{}}), "#{b => {x,nil},{1,2} => #{}}"),
            (term!(%{}), "#{}"),
            (term!({}), "{}"),
            (term!({:ok, 1 + 2,}), "{ok,3}"),
            (term!("text"), "<<\"text\">>"),
        ];
        for (term, printed) in made {
            assert_eq!(term.to_string(), printed);
        }
    }
}
