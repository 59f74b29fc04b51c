//! Whether a model's states are told apart as far as they must be. A form that leaves out too much
//! takes states for one that are not, and what follows the second of them is never looked at.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

use stateright::Model;

/// What may follow a state: actions, and the forms of where they lead.
type Next = Vec<(String, u64)>;

/// Two states that are taken for one although other states follow them: every state is looked at as
/// often as it is met.
pub(crate) fn unlike<M>(model: &M) -> Option<String>
where
    M: Model,
    M::State: Debug + Hash,
    M::Action: Debug,
{
    let mut known: HashMap<u64, Next> = HashMap::new();
    let found = walk(model, |state, next| {
        let known = known.entry(form(state)).or_insert_with(|| next.clone());
        match known == next {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break((form(state), format!("{state:#?}\n{next:?}"))),
        }
    });
    let (which, second) = found?;
    let first = walk(model, |state, next| match form(state) == which {
        true => ControlFlow::Break(format!("{state:#?}\n{next:?}")),
        false => ControlFlow::Continue(()),
    });
    Some(format!("{}\n{second}", first.unwrap_or_default()))
}

/// Walks over all states, nearest first; follows each form once.
fn walk<M, T>(model: &M, mut look: impl FnMut(&M::State, &Next) -> ControlFlow<T>) -> Option<T>
where
    M: Model,
    M::State: Hash,
    M::Action: Debug,
{
    let mut todo: VecDeque<M::State> = model.init_states().into();
    let mut followed = HashSet::new();
    while let Some(state) = todo.pop_front() {
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        let mut states = Vec::new();
        let mut next = Next::new();
        for action in actions {
            let name = format!("{action:?}");
            if let Some(then) = model.next_state(&state, action) {
                next.push((name, form(&then)));
                states.push(then);
            }
        }
        next.sort_unstable();
        if let ControlFlow::Break(found) = look(&state, &next) {
            return Some(found);
        }
        if followed.insert(form(&state)) {
            todo.extend(states);
        }
    }
    None
}

fn form(state: &impl Hash) -> u64 {
    let mut form = DefaultHasher::new();
    state.hash(&mut form);
    form.finish()
}
