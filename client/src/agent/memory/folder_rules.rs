//! Rules that people give to folders of a content repository. One in the foreground refuses a write before it is done
//! (RULE_FAILED); one in the background changes a document after it was written, by a user or a delivery, as a user does
//! (R-PRJ-5).

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};

use super::tree::{MemoryTree, Refused, text_value};

/// The rules of a repository.
#[derive(Debug, Clone, Default)]
pub struct FolderRules {
    /// All of them; the first that is right for a document comes first.
    pub rules: Vec<FolderRule>,
    /// Documents that were written since the background rules ran.
    due: BTreeSet<String>,
}

/// A rule for the documents in a folder, and below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRule {
    /// The node id of the folder.
    pub folder: String,
    /// How the names of the documents end; empty = however.
    pub ending: String,
    /// What it does.
    pub effect: Effect,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// In the foreground: such a document is neither made nor changed; the text says why.
    Refuse(String),
    /// In the background: it gets a text property.
    SetProperty(String, String),
    /// In the background: its content ends with this.
    Append(String),
    /// In the background: it is moved to the folder with this node id.
    MoveTo(String),
}

impl MemoryTree {
    /// Makes sure that no rule refuses a document of this name in this folder.
    pub(super) fn check_rules(&self, folder: &str, name: &str) -> Result<(), Refused> {
        let mut rules = self.rules_for(folder, name);
        let refusal = rules.find_map(|rule| match &rule.effect {
            Effect::Refuse(why) => Some(why.clone()),
            Effect::SetProperty(..) | Effect::Append(_) | Effect::MoveTo(_) => None,
        });
        refusal.map_or(Ok(()), |why| Err(Refused::Rule(why)))
    }

    /// Makes sure that no rule refuses to have a document changed where it is.
    pub(super) fn check_rules_of(&self, node_id: &str) -> Result<(), Refused> {
        match self.nodes.get(node_id).filter(|node| !node.is_folder()) {
            Some(node) => self.check_rules(&node.parent, &node.name),
            None => Ok(()),
        }
    }

    fn rules_for(&self, folder: &str, name: &str) -> impl Iterator<Item = &FolderRule> {
        let rules = self.folder_rules.rules.iter();
        rules
            .filter(move |rule| name.ends_with(&rule.ending) && self.is_below(folder, &rule.folder))
    }

    /// A document was written: background rules are going to look at it.
    pub(super) fn note_written(&mut self, node_id: &str) {
        if !self.folder_rules.rules.is_empty() {
            self.folder_rules.due.insert(node_id.to_owned());
        }
    }

    /// Runs the background rules for whatever was written since they ran last; behind the trait that happens by itself.
    /// What a rule does starts no other, and what it may not do is left.
    pub fn run_background_rules(&mut self) {
        for node_id in std::mem::take(&mut self.folder_rules.due) {
            let node = self.nodes.get(&node_id).filter(|node| !node.is_folder());
            let Some((folder, name)) = node.map(|node| (node.parent.clone(), node.name.clone()))
            else {
                continue;
            };
            let rules = self.rules_for(&folder, &name);
            let effects: Vec<Effect> = rules.map(|rule| rule.effect.clone()).collect();
            for effect in effects {
                if let Err(refused) = self.run_rule(&node_id, &effect) {
                    tracing::debug!(%refused, "a background rule does nothing");
                }
            }
            self.folder_rules.due.remove(&node_id);
        }
    }

    fn run_rule(&mut self, node_id: &str, effect: &Effect) -> Result<(), Refused> {
        let Some(node) = self.nodes.get(node_id) else {
            return Ok(());
        };
        match effect {
            Effect::SetProperty(name, text)
                if node.properties.get(name) != Some(&text_value(text)) =>
            {
                self.set_property(node_id, name, Some(text))
            }
            Effect::Append(text) => {
                let content = node.content.clone().unwrap_or_default();
                match content.ends_with(text.as_bytes()) {
                    true => Ok(()),
                    false => self.write(node_id, joined(&content, text)),
                }
            }
            Effect::MoveTo(folder) if node.parent != *folder => self.move_to(node_id, folder),
            Effect::Refuse(_) | Effect::SetProperty(..) | Effect::MoveTo(_) => Ok(()),
        }
    }
}

fn joined(content: &Bytes, text: &str) -> Bytes {
    let mut joined = BytesMut::from(&content[..]);
    joined.extend_from_slice(text.as_bytes());
    joined.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::memory::{ROOT, Rules};

    fn tree(ending: &str, effect: Effect) -> (MemoryTree, String) {
        let mut tree = MemoryTree::new("n", Rules::default());
        let folder = tree.create_folder(ROOT, "docs").unwrap();
        tree.folder_rules.rules.push(FolderRule {
            folder: folder.clone(),
            ending: ending.to_owned(),
            effect,
        });
        (tree, folder)
    }

    #[test]
    fn a_rule_in_the_foreground_refuses_every_way_of_writing_there() {
        let (mut tree, folder) = tree(".exe", Effect::Refuse("no programs".to_owned()));
        let refused = Err(Refused::Rule("no programs".to_owned()));
        let made = tree.create_document(&folder, "a.exe", "x").map(drop);
        assert_eq!(made, refused);
        let inner = tree.create_folder(&folder, "b.exe").unwrap();
        let document = tree.create_document(&inner, "a.txt", "x").unwrap();
        assert_eq!(tree.rename(&document, "a.exe"), refused);
        let outside = tree.create_document(ROOT, "a.exe", "x").unwrap();
        assert_eq!(tree.move_to(&outside, &inner), refused);
        let rules = std::mem::take(&mut tree.folder_rules.rules);
        tree.move_to(&outside, &inner).unwrap();
        tree.folder_rules.rules = rules;
        assert_eq!(tree.write(&outside, "y"), refused);
        let titled = tree.set_property(&outside, "cm:title", Some("t"));
        assert_eq!(titled, refused);
        assert_eq!(tree.content(&outside).as_deref(), Some(&b"x"[..]));
        tree.delete(&outside).unwrap();
    }

    #[test]
    fn r_prj_5_a_rule_in_the_background_changes_a_document_once_for_each_time_it_is_written() {
        let (mut tree, folder) = tree("", Effect::Append(" stamped".to_owned()));
        let sorted = tree.create_folder(&folder, "sorted").unwrap();
        for effect in [
            Effect::SetProperty("cm:title".to_owned(), "by rule".to_owned()),
            Effect::MoveTo(sorted),
        ] {
            let ending = String::new();
            tree.folder_rules.rules.push(FolderRule {
                folder: folder.clone(),
                ending,
                effect,
            });
        }
        let document = tree.create_document(&folder, "a", "first").unwrap();
        assert_eq!(tree.path(&document), "docs/a", "not yet");
        tree.run_background_rules();
        assert_eq!(tree.path(&document), "docs/sorted/a");
        let stamped = |tree: &MemoryTree| tree.content(&document).unwrap();
        assert_eq!(stamped(&tree), "first stamped");
        assert_eq!(tree.projection(&document).unwrap().properties.len(), 1);
        let revision = tree.observation(&document).revision;
        tree.run_background_rules();
        assert_eq!(
            tree.observation(&document).revision,
            revision,
            "nothing new"
        );
        tree.write(&document, "second").unwrap();
        tree.run_background_rules();
        assert_eq!(stamped(&tree), "second stamped");
    }
}
