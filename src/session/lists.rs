//! Lists of positions, linked within one array: each position is in one list or in none, and every operation is O(1).

use super::dense::Dense;

/// Where a session lies in the arrays of the table. When one is removed, the last takes its place, so that there are no gaps.
pub(super) type Position = u32;

/// The most positions: the numbers above stand for the heads of lists.
pub(super) const POSITIONS_MAX: usize = HEAD as usize;

/// Marks the number of a list. A list is a ring through its head.
const HEAD: u32 = 1 << 31;

/// The neighbours of a position that is in no list.
const NOWHERE: u32 = u32::MAX;

/// The lists.
#[derive(Debug)]
pub(super) struct Lists {
    heads: Vec<Link>,
    links: Dense<Link>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    previous: u32,
    next: u32,
}

impl Lists {
    /// `count` empty lists, and no position.
    pub(super) fn new(count: usize) -> Self {
        let empty = |list| Link { previous: HEAD | list, next: HEAD | list };
        Self { heads: (0..count as u32).map(empty).collect(), links: Dense::default() }
    }

    /// Adds a position at the end of the array, in no list.
    pub(super) fn add(&mut self) {
        self.links.push(Link { previous: NOWHERE, next: NOWHERE });
    }

    /// Appends a position that is in no list to `list`.
    pub(super) fn push_back(&mut self, list: usize, position: Position) {
        let head = HEAD | list as u32;
        let last = self.link(head).previous;
        *self.link_mut(position) = Link { previous: last, next: head };
        self.link_mut(last).next = position;
        self.link_mut(head).previous = position;
    }

    /// Takes a position out of its list, if it is in one.
    pub(super) fn unlink(&mut self, position: Position) {
        let Link { previous, next } = *self.link(position);
        if next == NOWHERE {
            return;
        }
        self.link_mut(previous).next = next;
        self.link_mut(next).previous = previous;
        *self.link_mut(position) = Link { previous: NOWHERE, next: NOWHERE };
    }

    /// The first position of `list`.
    pub(super) fn first(&self, list: usize) -> Option<Position> {
        self.next(HEAD | list as u32)
    }

    /// The position after `position` in its list.
    pub(super) fn next(&self, position: Position) -> Option<Position> {
        Some(self.link(position).next).filter(|next| next & HEAD == 0)
    }

    /// Removes a position. The last one of the array takes its number.
    pub(super) fn swap_remove(&mut self, position: Position) {
        self.unlink(position);
        let last = self.links.len() as u32 - 1;
        let Link { previous, next } = self.links[last as usize];
        self.links.swap_remove(position as usize);
        if position != last && next != NOWHERE {
            self.link_mut(previous).next = position;
            self.link_mut(next).previous = position;
        }
    }

    fn link(&self, node: u32) -> &Link {
        match node & HEAD {
            0 => &self.links[node as usize],
            _ => &self.heads[(node & !HEAD) as usize],
        }
    }

    fn link_mut(&mut self, node: u32) -> &mut Link {
        match node & HEAD {
            0 => &mut self.links[node as usize],
            _ => &mut self.heads[(node & !HEAD) as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the lists hold, as vectors of names; `places` has the name at each position.
    struct Model {
        lists: [Vec<u32>; 2],
        places: Vec<u32>,
    }

    fn check(lists: &Lists, model: &Model) {
        for (list, names) in model.lists.iter().enumerate() {
            let mut found = Vec::new();
            let mut at = lists.first(list);
            while let Some(position) = at {
                found.push(model.places[position as usize]);
                at = lists.next(position);
            }
            assert_eq!(&found, names);
        }
    }

    proptest! {
        #[test]
        fn they_are_vectors(ops in prop::collection::vec((0..4u8, any::<prop::sample::Index>(), 0..2usize), 1..200)) {
            let mut lists = Lists::new(2);
            let mut model = Model { lists: Default::default(), places: Vec::new() };
            for (number, (op, index, list)) in (0u32..).zip(ops) {
                if op == 0 || model.places.is_empty() {
                    lists.add();
                    model.places.push(number);
                    continue;
                }
                let position = index.index(model.places.len());
                let name = model.places[position];
                model.lists.iter_mut().for_each(|names| names.retain(|other| *other != name));
                if op == 1 {
                    lists.swap_remove(position as u32);
                    model.places.swap_remove(position);
                } else {
                    lists.unlink(position as u32);
                    if op == 2 {
                        lists.push_back(list, position as u32);
                        model.lists[list].push(name);
                    }
                }
                check(&lists, &model);
            }
        }
    }
}
