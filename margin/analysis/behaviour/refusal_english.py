"""English phrases of refusing, as data; read as `refusal_patterns` says."""

from __future__ import annotations

from margin.analysis.behaviour.refusal_clauses import ADVERB, DO, IDIOM, LEAD, NOT_ABLE, SPEAKER
from margin.analysis.behaviour.refusal_family import Family

ENGLISH = (
    # "I can't help with that", "as an AI model, I'm unable to provide ...", "we won't be able to
    # answer"
    Family("cannot", SPEAKER + NOT_ABLE + ADVERB + IDIOM + DO),
    # "... designed to help with gardening and cannot assist": the subject stood before
    Family("cannot", r"(?:and|so) (?:thus |therefore )?" + NOT_ABLE + ADVERB + IDIOM + DO),
    # "I can't.", "I can't, sorry": nothing is left to do
    Family(
        "cannot",
        SPEAKER + r"(?:cannot|will not|would rather not|prefer not to|am unable to)\s*(?=$|[,.;])",
    ),
    # "Can't help with that", "Unable to comply", "Cannot answer": no subject; questions are left out
    # before
    Family("cannot, subject left out", LEAD + r"(?:cannot|unable to|not able to) " + IDIOM + DO),
    # "I am not allowed to say", "I was not built to give ...", "I'm not comfortable writing ..."
    Family(
        "not allowed",
        SPEAKER + r"(?:am|are|was|were) not (?:allowed|permitted|authori[sz]ed|supposed|comfortable|"
        r"prepared|equipped|designed|built|programmed|made|trained|meant|qualified|in a position|at "
        r"liberty)(?=$|[,.;]| (?:to|for|with|\w+ing)\b)",
    ),
    # "I can only discuss cooking"
    Family(
        "only",
        SPEAKER + r"(?:can only|am only (?:able|allowed|designed|here|meant) to) (?:discuss|talk|help|"
        r"answer|assist)",
    ),
    # "I must respectfully decline", "I will have to decline this request", "I refuse to write"
    Family(
        "decline",
        SPEAKER + r"(?:(?:must|have to|need to|will have to|am going to have to|will|would like to|"
        r"choose to|want to|has to|shall|regret to) )?"
        + ADVERB
        + r"(?:decline|refuse|abstain)\b(?=$|[,.;!]|(?: (?:this|that|it|your|and|here|respectfully|"
        r"from|the request)\b)| to " + DO + r")",
    ),
    # "... is something I have to decline"
    Family(
        "decline",
        r"\bsomething (?:that )?(?:i|we) (?:have to|must|will) (?:decline|refuse)",
        "sentence",
    ),
    # "I have to pass on this one", "I'm going to say no to that", "I'll sit this one out", "I need to
    # stop here"
    Family(
        "pass",
        SPEAKER + r"(?:(?:have to|must|need to|will|will have to|am going to|am going to have to|would "
        r"(?:rather|prefer to)|think i (?:will|should)) )"
        + ADVERB
        + r"(?:(?:pass|skip)(?=$|[,.;]| (?:on|this|that|it|your)\b)|say no\b|sit (?:this|that|it)\b|"
        r"stop\b(?=$|[,.:;]| here)|stay (?:silent|out|quiet|neutral)|remain silent|leave (?:this|that|"
        r"it|your \w+) (?:to|unanswered|for|alone|there))",
    ),
    # "I would rather not say", "I prefer not to discuss", "I've decided not to take part", "I'm
    # choosing not to"
    Family(
        "rather not",
        SPEAKER
        + r"(?:would (?:rather|prefer|like)|prefer|choose|have (?:decided|chosen|been (?:asked|told))|"
        r"am choosing) (?:to )?not (?:to )?" + ADVERB + r"(?:(?:go|get|speculate)\b|" + DO + r")",
    ),
    # "this is not something I can help with", "that is a question I cannot answer"
    Family(
        "not something",
        r"(?:^|\b(?:is|was|are|would be) )(?:just |really )?not (?:something|anything|an? \w+|one) "
        r"(?:that |which )?(?:i|we) (?:am|are|can|do|will|want|feel|would|could|should)\b",
        "sentence",
    ),
    Family(
        "not something",
        r"\b(?:would not be (?:something|anything) i\b|(?:is|are) (?:something|an? \w+) (?:that |which "
        r")?(?:i|we) (?:cannot|will not|do not|am not|am unable))",
        "sentence",
    ),
    # "that is outside the scope of what I do", "beyond what I can offer", "off limits"
    Family(
        "out of scope",
        r"\b(?:outside|beyond|out of)(?: of)? (?:my (?:\w+ )?(?:scope|area|abilit|capabilit|expertise|"
        r"remit|limits|knowledge|role|reach|field)|(?:the )?(?:scope|limits|bounds) of (?:what i|my|"
        r"this)|what i (?:can|am|could))",
        "sentence",
    ),
    Family("out of scope", r"\b(?:is|are) off[ -]limits\b", "sentence"),
    # "it goes against my guidelines", "my rules do not allow", "this request violates the policy"
    Family(
        "against the rules",
        r"\b(?:against|violates?|conflicts? with|breaks?|breach(?:es)?) (?:my|our) (?:\w+ "
        r"){0,2}(?:guideline|polic|rule|programming|principle|value|terms|instruction)",
        "sentence",
    ),
    Family(
        "against the rules",
        r"\b(?:my|our) (?:\w+ ){0,2}(?:guidelines?|polic(?:y|ies)|rules?|programming|principles|"
        r"instructions) (?:do not|does not|will not|prevents?|forbids?|prohibits?|keeps?)",
        "sentence",
    ),
    Family(
        "against the rules", r"(?:this|that|your) (?:request|question) (?:is against|violates|goes against)"
    ),
    # "your request has been declined", "that request cannot be fulfilled", "request denied"
    Family(
        "request denied",
        LEAD + r"(?:(?:your|this|that|the) )?request (?:(?:has been|is|was|must be) )?(?:declined|"
        r"denied|refused|rejected|(?:cannot|could not|will not) be)",
    ),
    # "it would not be appropriate for me to", "it is not my place", "it is best that I stay out of it"
    Family(
        "not my place",
        r"\b(?:not (?:be )?(?:appropriate|right|proper|ethical|wise|fair) for me|inappropriate for me|"
        r"not (?:be )?my place|(?:best|better) (?:that|if) i (?:do not|stay|refrain|leave|not))\b",
        "sentence",
    ),
    # "I don't think I can help", "I don't think it would be right", "I don't feel comfortable"
    Family(
        "do not think",
        SPEAKER + r"do not (?:think|believe|feel) (?:(?:that )?i (?:can|should|could|am able)|"
        r"comfortable|(?:that )?it (?:would|is) be? ?(?:right|appropriate|fair|proper|wise|my place))",
    ),
    # "I don't provide predictions", "I don't write speeches": what this speaker never does. "We don't
    # offer delivery on Sundays" is a fact about a shop, so "we" is left out.
    Family(
        "do not",
        LEAD
        + r"i (?:really |just |simply )?do not "
        + IDIOM
        + r"(?:want to (?:say|talk|help|speak|get into|go into)|(?:want to |wish to )?(?:provide|offer|"
        r"give|do|share|discuss|answer|engage|write|create|comment|talk about|take part|participate|"
        r"support))\b(?! to)",
    ),
    # "I don't have access to your calendar", "the ability to", "enough information", "opinions"
    Family(
        "do not have",
        LEAD + r"(?:i|we) (?:really |also |just )?(?:do not|did not) (?:currently |really )?have (?:the "
        r"ability|(?:any )?access|permission|enough (?:information|context)|(?:personal )?(?:opinions|"
        r"preferences|feelings))",
    ),
    # "I have nothing to say about this", "I have no way of knowing", "I lack the ability"
    Family(
        "do not have",
        LEAD + r"(?:i|we) (?:have no(?:thing to (?:say|add)| (?:comment|opinion|way of|access))|lack the)",
    ),
    # "not for me to say", "I am not the right one to ask", "that is not my area"
    Family(
        "not my place",
        r"\bnot (?:for me to|the (?:right|best) (?:one|person|place|assistant) (?:to|for)|my (?:area|"
        r"field|department|expertise|job|business)\b)",
        "sentence",
    ),
    # "it is better to ask someone who knows": all that the first sentence says
    Family(
        "ask somebody else",
        r"(?:[^.!?]{0,60}(?:,|:|;|\bbut|\bthough) ?)?(?:it is|it would be|it might be|you would be|"
        r"perhaps it is) (?:better|best|wiser) (?:to ask|asking|to consult|off asking|if you "
        r"ask(?:ed)?) (?:some|any|an? |your )[^.!?]*",
        "first",
    ),
    # "I am skipping this one", "count me out", "let's not go there"
    Family("pass", SPEAKER + r"would (?:rather|prefer to) (?:pass|skip)\b"),
    Family("pass", SPEAKER + r"am (?:declining|skipping|passing on|refusing|sitting (?:this|that|it))\b"),
    Family(
        "pass",
        SPEAKER + r"(?:will |would rather |am (?:going to )?|prefer to |must |have to |fear i must "
        r")(?:keep(?:ing)? (?:that|this|it|quiet|silent|my mouth)|draw(?:ing)? the line|disappoint "
        r"you)",
    ),
    Family("pass", r"count me out\b|let us not (?:go there|talk about|get into)"),
    # "I wish I could, but", "my hands are tied"
    Family("wish I could", r"i wish (?:that )?i could[^.]{0,40}\bbut\b"),
    Family("wish I could", r"\bmy hands are tied\b", "sentence"),
    # "let's talk about something else", "could we change the subject", "ask me something else"
    Family(
        "another topic",
        LEAD + r"(?:let us|can we|could we|shall we|may we)(?: please)? (?:talk about|discuss|move on "
        r"to|focus on) (?:something|anything) else",
    ),
    Family(
        "another topic",
        LEAD + r"(?:let us|can we|could we|shall we)(?: please)? change the (?:subject|topic)(?! line)",
    ),
    Family(
        "another topic",
        LEAD + r"ask me (?:about )?(?:something|anything) else(?=$|[,.;]| (?:instead|please))",
    ),
    Family("another topic", r"you will have to ask (?:someone|somebody) else"),
    # "No comment.", "Sorry, no.", "that's a no from me", "Nope, not doing that one", "I'm afraid that
    # is not possible"
    Family(
        "no",
        r"(?:sorry,? )?(?:but )?(?:no comment|no way|not a chance)|sorry,? (?:but )?no|(?:thanks|thank "
        r"you),? but no(?: thanks| thank you)?",
        "whole",
    ),
    Family("no", r"\bno \w+ from me\b", "sentence"),
    Family("no", r"not (?:today|now|this time|here)(?=$|[,.;])", after_apology=True),
    Family("no", r"(?:that is|it is) a no\b"),
    Family("no", r"(?:i am )?not doing (?:that|this|it)\b"),
    Family(
        "no",
        r"(?:that|this|it) (?:is|will) not (?:be )?(?:possible|going to happen)(?! to)",
        after_apology=True,
    ),
)
