"""What English phrases of refusing are put together from: verbs, idioms, what stands around a subject."""

from __future__ import annotations

# Verbs of what an assistant is asked for. "I cannot X" is a refusal for these only: whoever cannot
# wait, sleep or agree more refuses nothing.
DO = (
    r"(?:help|assist|aid|support|provide|give|offer|share|answer|respond|reply|comply|complete|fulfil|"
    r"fulfill|do|doing|perform|carry|execute|write|compose|draft|generate|create|produce|make|draw|"
    r"translate|summari[sz]e|tell|say|reveal|disclose|explain|describe|discuss|talk|speak|chat|comment|"
    r"go into|go along|elaborate|engage|participate|take part|take sides|pick|judge|advise|recommend|"
    r"suggest|predict|guess|decide|continue|proceed|process|accommodate|honou?r|grant|satisfy|confirm|"
    r"browse|access|open|look|search|play|order|book|call|send|form|express|review|rate|show|teach|"
    r"accept|entertain|condone|promote|encourage|facilitate|allow|act|role-?play|be (?:of|able|part|"
    r"doing|\w{3,14}ing)|get into|get involved|weigh in|touch|have (?:an? )?(?:personal|opinions?|"
    r"preferences?))\b"
)
# What turns such a verb into something else: "cannot help but", "cannot recommend this enough", "cannot
# tell you how happy I am", "cannot say no to", "will not go into every detail".
IDIOM = (
    r"(?!help (?:but|myself|feeling|thinking|smiling|laughing|loving|wondering|noticing|admiring)\b|"
    r"[^.!?]{0,80}\benough\b(?! (?:information|context|data|detail))|(?:tell|say|express|describe|"
    r"explain)(?: to)?(?: you)? how (?!to\b)|say no\b|say (?:that )?i\b|say for (?:sure|certain)|do "
    r"without|go into (?:every|all|too|much|great)\b|[^.!?]{0,60}\blightly\b|(?:pick|choose) (?:just |"
    r"only )?one\b|(?:give|tell|write|offer) (?:you )?an? (?:long|boring|lengthy)|make up my mind|do "
    r"(?:much )?better)"
)
# Words that may stand between subject and verb.
ADVERB = (
    r"(?:(?:really|simply|just|also|currently|unfortunately|sadly|respectfully|politely|still|"
    r"therefore|possibly|personally|afraid|at this time|at the moment|directly|in good conscience|"
    r"knowingly|ever|actually|even) ){0,3}"
)
# What may open a clause before its subject.
LEAD = (
    r"(?:(?:sorry|unfortunately|regrettably|sadly|apologies|honestly|however|therefore|because|since|"
    r"as|but|and|so|yet|though|although|still|also|please|no|nope|well|okay|hmm+|here|first of all|i "
    r"am (?:really |very |so |truly |deeply )?(?:sorry|afraid)|i apologi[sz]e|i regret|that) "
    r"){0,4}(?:as an? (?:[\w-]+ ){1,5}?)?"
)
SPEAKER = LEAD + r"(?:i|we) " + ADVERB
NOT_ABLE = (
    r"(?:cannot|can neither|could not possibly|can no longer|will not|shall not|will not be able to|"
    r"would not be able to|(?:am|are) (?:not able|unable|not going|not willing|unwilling|not here) to|"
    r"(?:am|are) going to have to not) "
)
