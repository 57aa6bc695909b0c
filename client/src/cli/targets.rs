//! Sets and members that are meant together, as they are typed.

use super::{error::Error, ids::parse_uid, names::Names};

impl Names {
    /// What `request-sync` is to sync: the names of members by the name of their set; none = the whole set.
    pub(crate) fn targets(&self, texts: &[String]) -> Result<Vec<(String, Vec<String>)>, Error> {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        let mut texts = texts.iter().peekable();
        if let Some(set) = texts.peek().and_then(|text| self.set(text).ok()) {
            texts.next();
            let members = texts
                .map(|text| self.member_of(&set, text))
                .collect::<Result<_, _>>()?;
            return Ok(vec![(set, members)]);
        }
        for text in texts {
            let member = self.member(text)?;
            let set = member
                .split("/members/")
                .next()
                .unwrap_or_default()
                .to_owned();
            match groups.iter_mut().find(|(known, _)| *known == set) {
                Some((_, members)) => members.push(member),
                None => groups.push((set, vec![member])),
            }
        }
        Ok(groups)
    }

    /// A member after its set was named: its uid, too.
    fn member_of(&self, set: &str, text: &str) -> Result<String, Error> {
        if !text.contains('/') {
            return Ok(format!("{set}/members/{}", parse_uid("member", text)?));
        }
        let member = self.member(text)?;
        if member.starts_with(&format!("{set}/")) {
            return Ok(member);
        }
        Err(Error::usage(
            format!("the member `{text}` is not in the set that was named first"),
            "Name each member as SET/MEMBER, without a set before them.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
    const M: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

    fn names() -> Names {
        Names::new("default").expect("an ordinary network")
    }

    #[test]
    fn targets_are_a_whole_set_or_members_of_sets() {
        let names = names();
        let set = format!("networks/default/syncSets/{S}");
        let member = format!("{set}/members/{M}");
        let targets = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
            names.targets(&texts)
        };
        assert_eq!(targets(&[S]).expect("a set"), [(set.clone(), vec![])]);
        assert_eq!(
            targets(&[S, M]).expect("a member"),
            [(set.clone(), vec![member.clone()])]
        );
        let pairs = targets(&[&format!("{S}/{M}"), &format!("{M}/{S}")]).expect("members");
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[0], (set, vec![member]));
        assert!(targets(&[S, &format!("{M}/{S}")]).is_err());
    }
}
