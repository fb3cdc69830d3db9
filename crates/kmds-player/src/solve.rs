//! Questions to a program's two functions, and their checked answers.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::check::{self, Wrong};
use crate::engine::Functions;

/// The questions, each a value as the site gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Questions {
    pub n: Vec<String>,
    pub sig: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Answers {
    pub n: BTreeMap<String, String>,
    pub sig: BTreeMap<String, String>,
    /// `None` when the script names none.
    pub signature_timestamp: Option<u32>,
}

/// An additional `n`: it detects a function that gives the same answer to every question.
const OTHER_N: &str = "Zq3-XvT8w_Lk5RmNc";

/// Answers all of `questions`.
pub fn answer(functions: &Functions, questions: &Questions) -> Result<Answers, Wrong> {
    let mut answers = Answers::default();
    if !questions.n.is_empty() {
        answers.n = answer_n(functions, &questions.n)?;
    }
    let mut permutations: HashMap<usize, Vec<usize>> = HashMap::new();
    for question in &questions.sig {
        let length = question.len();
        let permutation = match permutations.entry(length) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(free) => free.insert(check::permutation(
                length,
                &functions.call("sig", &check::marks(length))?,
            )?),
        };
        let answer = check::permuted(question, permutation);
        // Only the length matters, so the question itself must give the same permutation.
        if functions.call("sig", question)? != answer {
            return Err(Wrong::Answer("is another permutation each time"));
        }
        answers.sig.insert(question.clone(), answer);
    }
    Ok(answers)
}

fn answer_n(
    functions: &Functions,
    questions: &[String],
) -> Result<BTreeMap<String, String>, Wrong> {
    let (mut answers, mut given) = (BTreeMap::new(), HashMap::new());
    let other = OTHER_N.to_owned();
    for question in questions.iter().chain([&other]) {
        let answer = functions.call("n", question)?;
        check::n(question, &answer)?;
        if given
            .insert(answer.clone(), question)
            .is_some_and(|before| before != question)
        {
            return Err(Wrong::Answer("is the same for two questions"));
        }
        answers.insert(question.clone(), answer);
    }
    let again = questions
        .first()
        .map(|question| functions.call("n", question))
        .transpose()?;
    if again.as_ref() != questions.first().and_then(|question| answers.get(question)) {
        return Err(Wrong::Answer("is another one each time"));
    }
    answers.retain(|question, _| questions.contains(question));
    Ok(answers)
}
