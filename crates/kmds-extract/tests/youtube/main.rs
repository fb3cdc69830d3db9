//! What YouTube's answers mean and what is done about them: the tables 2.7 and 5 of the field notes, row by row, and
//! its sections 2.4 to 2.9 and 4, against small made-up answers.

mod failures;
mod fake;
mod hostile;
mod lists;
mod status;
mod streams;
