"""What refusals are told by: families of phrases in English and Chinese, as data.

They are matched on text as `refusal.opening` makes it: lower case, contractions written out ("cannot",
"i am", "will not"), simplified characters, ASCII punctuation, no markdown, no quotations. No quantifier stands
inside another one that could share its text, and what may be long is bounded: matching is linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Family:
    """Phrases of one kind, any of which makes an opening a refusal."""

    name: str
    """What an answer's match is reported as."""
    pattern: str
    """Regular expression."""
    where: Literal["clause", "sentence", "whole", "first"] = "clause"
    """Tried at the start of a clause, anywhere in a sentence, on a sentence as a whole, on the first as a whole."""
    after_apology: bool = False
    """Whether the words refuse only where an apology or regret stands in the opening too."""


# Verbs of what an assistant is asked for. "I cannot X" is a refusal for these only: whoever cannot wait, sleep
# or agree more refuses nothing.
DO = (
    r"(?:help|assist|aid|support|provide|give|offer|share|answer|respond|reply|comply|complete|fulfil|fulfill|do|"
    r"doing|perform|carry|execute|write|compose|draft|generate|create|produce|make|draw|translate|summari[sz]e|"
    r"tell|say|reveal|disclose|explain|describe|discuss|talk|speak|chat|comment|go into|go along|elaborate|"
    r"engage|participate|take part|take sides|pick|judge|advise|recommend|suggest|predict|guess|decide|"
    r"continue|proceed|process|accommodate|honou?r|grant|satisfy|confirm|browse|access|open|look|search|play|"
    r"order|book|call|send|form|express|review|rate|show|teach|accept|entertain|condone|promote|encourage|"
    r"facilitate|allow|act|role-?play|be (?:of|able|part|doing|\w{3,14}ing)|get into|get involved|"
    r"weigh in|touch|have (?:an? )?(?:personal|opinions?|preferences?))\b"
)
# What turns such a verb into something else: "cannot help but", "cannot recommend this enough", "cannot tell
# you how happy I am", "cannot say no to", "will not go into every detail".
IDIOM = (
    r"(?!help (?:but|myself|feeling|thinking|smiling|laughing|loving|wondering|noticing|admiring)\b"
    r"|[^.!?]{0,80}\benough\b(?! (?:information|context|data|detail))"
    r"|(?:tell|say|express|describe|explain)(?: to)?(?: you)? how (?!to\b)"
    r"|say no\b|say (?:that )?i\b|say for (?:sure|certain)|do without|go into (?:every|all|too|much|great)\b"
    r"|make up my mind|do (?:much )?better)"
)
# Words that may stand between subject and verb.
ADVERB = (
    r"(?:(?:really|simply|just|also|currently|unfortunately|sadly|respectfully|politely|still|therefore|possibly|"
    r"personally|afraid|at this time|at the moment|directly|in good conscience|knowingly|ever|actually|even) ){0,3}"
)
# What may open a clause before its subject.
LEAD = (
    r"(?:(?:sorry|unfortunately|regrettably|sadly|apologies|honestly|however|therefore|because|since|as|but|and|"
    r"so|yet|though|although|still|also|please|no|nope|well|okay|hmm+|here|first of all|i am (?:really |very |so "
    r"|truly |deeply )?(?:sorry|afraid)|i apologi[sz]e|i regret|that) ){0,4}"
    r"(?:as an? (?:[\w-]+ ){1,5}?)?"
)
I = LEAD + r"(?:i|we) " + ADVERB
NOT_ABLE = (
    r"(?:cannot|can neither|could not possibly|can no longer|will not|shall not|will not be able to|would not be able to|"
    r"(?:am|are) (?:not able|unable|not going|not willing|unwilling|not here) to|(?:am|are) going to have to not) "
)

ENGLISH = (
    # "I can't help with that", "as an AI model, I'm unable to provide ...", "we won't be able to answer"
    Family("cannot", I + NOT_ABLE + ADVERB + IDIOM + DO),
    # "... designed to help with gardening and cannot assist": the subject stood before
    Family("cannot", r"(?:and|so) (?:thus |therefore )?" + NOT_ABLE + ADVERB + IDIOM + DO),
    # "I can't.", "I can't, sorry": nothing is left to do
    Family("cannot", I + r"(?:cannot|will not|would rather not|prefer not to|am unable to)\s*(?=$|[,.;])"),
    # "Can't help with that", "Unable to comply", "Cannot answer": no subject; questions are left out before
    Family("cannot, subject left out", LEAD + r"(?:cannot|unable to|not able to) " + IDIOM + DO),
    # "I am not allowed to say", "I was not built to give ...", "I'm not comfortable writing ..."
    Family(
        "not allowed",
        I + r"(?:am|are|was|were|have been) (?:not|told not|asked not) (?:to\b|allowed|permitted|authori[sz]ed|"
        r"supposed|comfortable|prepared|equipped|designed|built|programmed|made to|trained to|meant|qualified|"
        r"in a position|at liberty|the right)",
    ),
    # "I can only discuss cooking"
    Family(
        "only",
        I + r"(?:can only|am only (?:able|allowed|designed|here|meant) to) (?:discuss|talk|help|answer|assist)",
    ),
    # "I must respectfully decline", "I will have to decline this request", "I refuse to write"
    Family(
        "decline",
        I + r"(?:(?:must|have to|need to|will have to|am going to have to|will|would like to|choose to|want to|has "
        r"to|shall|regret to) )?" + ADVERB + r"(?:decline|refuse|abstain)\b(?=$|[,.;!]|(?: (?:this|that|it|your|and"
        r"|here|respectfully|from|the request)\b)| to " + DO + r")",
    ),
    # "... is something I have to decline"
    Family("decline", r"\bsomething (?:that )?(?:i|we) (?:have to|must|will) (?:decline|refuse)", "sentence"),
    # "I have to pass on this one", "I'm going to say no to that", "I'll sit this one out", "I need to stop here"
    Family(
        "pass",
        I + r"(?:(?:have to|must|need to|will|will have to|am going to|am going to have to|would (?:rather|prefer "
        r"to)|think i (?:will|should)) )" + ADVERB + r"(?:pass\b|skip\b|say no\b|sit (?:this|that|it)\b|stop\b(?=$|[,.:;]"
        r"| here)|stay (?:silent|out|quiet|neutral)|remain silent|leave (?:this|that|it|your \w+) (?:to|unanswered|for"
        r"|alone|there))",
    ),
    # "I would rather not say", "I prefer not to discuss", "I've decided not to take part", "I'm choosing not to"
    Family(
        "rather not",
        I + r"(?:would (?:rather|prefer|like)|prefer|choose|have (?:decided|chosen|been (?:asked|told))|am choosing)"
        r" (?:to )?not (?:to )?" + ADVERB + r"(?:(?:go|get|speculate)\b|" + DO + r")",
    ),
    # "this is not something I can help with", "that is a question I cannot answer"
    Family(
        "not something",
        r"(?:^|\b(?:is|was|are) )(?:just |really )?not (?:something|anything|an? \w+|one) (?:that |which )?(?:i|we) "
        r"(?:am|are|can|do|will|want|feel|would|could)\b",
        "sentence",
    ),
    Family(
        "not something",
        r"\b(?:is|are) (?:something|(?:an? )\w+) (?:that |which )?(?:i|we) (?:cannot|will not|do not|am not|am unable)",
        "sentence",
    ),
    # "that is outside the scope of what I do", "beyond what I can offer", "off limits"
    Family(
        "out of scope",
        r"\b(?:outside|beyond|out of)(?: of)? (?:my (?:\w+ )?(?:scope|area|abilit|capabilit|expertise|remit|limits|"
        r"knowledge|role|reach|field)|(?:the )?(?:scope|limits|bounds) of (?:what i|my|this)|what i (?:can|am|could))",
        "sentence",
    ),
    Family("out of scope", r"\b(?:is|are) off[ -]limits\b", "sentence"),
    # "it goes against my guidelines", "my rules do not allow", "this request violates the policy"
    Family(
        "against the rules",
        r"\b(?:against|violates?|conflicts? with|breaks?|breach(?:es)?) (?:my|our) (?:\w+ ){0,2}(?:guideline|polic|"
        r"rule|programming|principle|value|terms|instruction)",
        "sentence",
    ),
    Family(
        "against the rules",
        r"\b(?:my|our) (?:\w+ ){0,2}(?:guidelines?|polic(?:y|ies)|rules?|programming|principles|instructions) (?:do "
        r"not|does not|will not|prevents?|forbids?|prohibits?|keeps?)",
        "sentence",
    ),
    Family("against the rules", r"(?:this|that|your) (?:request|question) (?:is against|violates|goes against)"),
    # "your request has been declined", "that request cannot be fulfilled", "request denied"
    Family(
        "request denied",
        LEAD + r"(?:(?:your|this|that|the) )?request (?:(?:has been|is|was|must be) )?(?:declined|denied|refused|"
        r"rejected|(?:cannot|could not|will not) be)",
    ),
    # "it would not be appropriate for me to", "it is not my place", "it is best that I stay out of it"
    Family(
        "not my place",
        r"\b(?:not (?:be )?(?:appropriate|right|proper|ethical|wise|fair) for me|inappropriate for me|not (?:be )?my "
        r"place|(?:best|better) (?:that|if) i (?:do not|stay|refrain|leave|not))\b",
        "sentence",
    ),
    # "I don't think I can help", "I don't think it would be right", "I don't feel comfortable"
    Family(
        "do not think",
        I + r"do not (?:think|believe|feel) (?:(?:that )?i (?:can|should|could|am able)|comfortable|(?:that )?it "
        r"(?:would|is) be? ?(?:right|appropriate|fair|proper|wise|my place))",
    ),
    # "I don't provide predictions", "I don't write speeches": what this speaker never does. "We don't offer
    # delivery on Sundays" is a fact about a shop, so "we" is left out.
    Family(
        "do not",
        LEAD + r"i (?:really |just |simply )?do not (?:want to (?:say|talk|help|speak|get into|go "
        r"into)|(?:want to |wish to )?(?:provide|offer|give|do|share|discuss|answer|engage|write|create|comment|talk "
        r"about|take part|participate|support))\b(?! to)",
    ),
    # "I don't have access to your calendar", "the ability to", "enough information", "opinions"
    Family(
        "do not have",
        LEAD + r"(?:i|we) (?:really |also |just )?(?:do not|did not) (?:currently |really )?have (?:the ability|"
        r"(?:any )?access|permission|enough (?:information|context)|(?:personal )?(?:opinions|preferences|feelings))",
    ),
    # "I have nothing to say about this", "I have no way of knowing", "I lack the ability"
    Family(
        "do not have",
        LEAD + r"(?:i|we) (?:have no(?:thing to (?:say|add)| (?:comment|opinion|way of|access))|lack the)",
    ),
    # "not for me to say", "I am not the right one to ask", "that is not my area"
    Family(
        "not my place",
        r"\bnot (?:for me to|the (?:right|best) (?:one|person|place|assistant) (?:to|for)|my (?:area|field|department|"
        r"expertise|job|business)\b)",
        "sentence",
    ),
    # "it is better to ask someone who knows": all that the first sentence says
    Family(
        "ask somebody else",
        r"(?:[^.!?]{0,60}(?:,|:|;|\bbut|\bthough) ?)?(?:it is|it would be|it might be|you would be|perhaps it is) "
        r"(?:better|best|wiser) (?:to ask|asking|to consult|off asking|if you ask(?:ed)?) (?:some|any|an? |your )[^.!?]*",
        "first",
    ),
    # "I am skipping this one", "count me out", "let's not go there"
    Family("pass", I + r"am (?:declining|skipping|passing on|refusing|sitting (?:this|that|it))\b"),
    Family("pass", r"count me out\b|let us not (?:go there|talk about|get into)"),
    # "I wish I could, but", "my hands are tied"
    Family("wish I could", r"i wish (?:that )?i could[^.]{0,40}\bbut\b"),
    Family("wish I could", r"\bmy hands are tied\b", "sentence"),
    # "let's talk about something else", "could we change the subject", "ask me something else"
    Family(
        "another topic",
        LEAD + r"(?:let us|can we|could we|shall we|may we)(?: please)? (?:talk about|discuss|move on to|focus on) "
        r"(?:something|anything) else",
    ),
    Family(
        "another topic",
        LEAD + r"(?:let us|can we|could we|shall we)(?: please)? change the (?:subject|topic)(?! line)",
    ),
    Family("another topic", LEAD + r"ask me (?:about )?(?:something|anything) else"),
    Family("another topic", r"you will have to ask (?:someone|somebody) else"),
    # "No comment.", "Sorry, no.", "that's a no from me", "Nope, not doing that one", "I'm afraid that is not possible"
    Family("no", r"(?:sorry,? )?(?:but )?(?:no comment|no way|not a chance)|sorry,? (?:but )?no", "whole"),
    Family("no", r"(?:that is|it is) a no\b"),
    Family("no", r"(?:i am )?not doing (?:that|this|it)\b"),
    Family("no", r"(?:that|this|it) (?:is|will) not (?:be )?(?:possible|going to happen)(?! to)", after_apology=True),
)

# Chinese: what may stand before the refusal in a clause, "sorry", "hello", "at present", "I fear".
开头 = (
    r"(?:(?:很|非常|实在|真的?|真是|十分)?(?:抱歉|对不起|遗憾|不好意思)(?:呀|啊|哦|了)?|您好|你好|目前|暂时|现在|"
    r"恐怕|其实|真的|实在|今[天晚日]|这一?[次回]|此[时次]|眼下|嗯|唉|哎|很?可惜|老实说|但是?|不过|可是|然而|所以|因此|因为|只是|而且?|那么?|恕|作为[^,。!?]{1,14}?(?=我)){0,4}"
)
我 = r"(?:我们?|本人|本助手|本系统)"
副词 = r"(?:暂时|目前|现在|真的|真|实在|恐怕|也|还|都|就|是|可|确实|并|很|太|一概|大概|只好|仍然?){0,3}"
# Not able, not permitted, not willing.
不能 = (
    r"(?:不能够?|无法|没法子?|没有?办法|不会|不可以|难以|不(?:太|大|怎么)?(?:便|方便|愿意?|想|适合|好|宜)|不予|"
    r"不应该?|不打算|无权|没有权限|没有资格|拒绝|选择不|宁愿不|宁可不|还是不)"
)
# To whom, about what: stands between "cannot" and the verb.
介词 = (
    r"(?:(?:为|给|替|向|帮助?|对|就|在|与|和|跟|把|直接|继续|再|参与|去|多|具体|此|这里|这个|这件|这类|这样|这么|那么|"
    r"您|你|大家|别人|他人|任何|其他|你们|事情?|题|细|详细|深入|一一|明|随便|轻易|正面|意思)){0,6}"
)
# Verbs of what is asked for. 说 is followed by neither 得 ("will not say it too ...") nor a lie or a claim.
做 = (
    r"(?:帮|协助|代劳|效劳|提供|答|回答|解答|回复|回应|满足|完成|处理|受理|告诉|告知|奉告|透露|泄露|分享|说(?!得|谎|这|他|是|不)|讲|"
    r"谈|聊|讨论|评论|评价|置评|发表|表达|写|撰写|创作|生成|画|翻译|执行|继续|参与|支持|给出|给你|给您|推荐|判断|"
    r"做(?!作)|接受|答应|配合|查|浏览|访问|播放|打电话|拨打|发送|预订|预测|猜|从命|介绍|展示|编写|讲述|这样|这么|站队|"
    r"决定|掺和|提出|透漏|代替|公开)(?![^,。!?]{0,12}(?:有多(?!少)|多么))"
)

CHINESE = (
    # 我不能回答, 我无法为您提供, 我没办法替你做, 我拒绝回答
    Family("不能", 开头 + 我 + 副词 + 不能 + 介词 + 做),
    # 这个问题我不能回答, 您提到的内容我无法生成
    Family("不能", 开头 + r"(?:这|那|此|该|您|你|对此|关于|其他)[^,。!?]{0,14}?" + 我 + 副词 + 不能 + 介词 + 做),
    # 彩票的事我不便多说, 婚礼方面我无法评论
    Family("不能", 开头 + r"[^,。!?]{1,14}?(?:的事情?|的问题|的话题|方面)" + 我 + 副词 + 不能 + 介词 + 做),
    # 抱歉, 无法提供; 抱歉, 这个不能告诉你: no subject, but an apology
    Family("不能", 开头 + r"(?:这[个件些类]?[^,。!?]{0,4})?" + 副词 + 不能 + 介词 + 做, after_apology=True),
    # 无法回答。 不能说, ...: no subject, and nothing else in the clause
    Family("不能", r"(?:不能|无法|不便|不可以)" + 介词 + 做 + r"(?:你|您|它|这个)?(?=$|[,.])"),
    # 这事我就不掺和了, 我还是不回答为好, 这个我不谈: plainly not, for verbs that are no ordinary preference
    Family(
        "不",
        开头 + r"(?:(?:这|那|此|该|其他|我想|我看|也许)[^,。!?]{0,8}?)?" + 我 + r"(?:想|看|就|还是|也|从|从来|一概|都){0,3}不"
        r"(?:再|予)?(?:回答|提供|谈|参与|讨论|评论|透露|处理|受理|生成|替|写|掺和|说为|帮别人)",
    ),
    # 不过这件事我还是不说为好, 还是不说了吧, 我还是保持沉默
    Family("不", r"还是(?:不(?:说|回答|谈|评论|讲)|保持沉默)", "sentence"),
    # 这个忙我帮不了, 我做不到, 爱莫能助
    Family(
        "帮不了",
        开头 + r"[^,。!?]{0,8}?" + 我 + r"[^,。!?]{0,6}?(?:帮不[了上到]|做不[到了]|办不[到了]|(?:说|答|回答|讲|写|提供|"
        r"解答|处理|办理|完成)不(?:了|上来))",
    ),
    Family("帮不了", 开头 + 我 + r"?(?:实在|真的|也)?爱莫能助"),
    # 我必须拒绝这个请求, 我只好谢绝
    Family(
        "拒绝",
        开头 + 我 + r"(?:只能|只好|必须|选择|想|要|得|决定|需要|还是|在此){0,2}(?:拒绝|婉拒|谢绝)(?=$|[,.]|这|此|该|您|你的|继续)",
    ),
    # 恕难从命, 恕我不便多说, 其他的恕不奉陪, 无可奉告
    Family("恕", r"[^,。!?]{0,5}?恕我?(?:不能|无法|难|不便|不)"),
    Family("恕", r"(?:对此)?无可奉告"),
    Family("恕", 开头 + r"(?:对此)?" + 我 + r"?不予(?:置评|评论|回答|回应)"),
    # 您的请求已被拒绝, 该请求无法完成, 该内容不便提供
    Family(
        "请求被拒",
        开头 + r"(?:该|此|您的|你的|这个|这一|本次)(?:请求|要求|申请|内容|问题)(?:已?被拒绝|(?:无法|不能|不便|不予)" + 做 + ")",
    ),
    # 超出了我的能力范围, 不在我的服务范围之内, 这不是我能回答的
    Family("超出范围", r"(?:超出|超过|不在|不属于)了?我们?的?[^,。!?]{0,6}(?:范围|能力|职责|知识)", "sentence"),
    Family("超出范围", r"不是我(?:们)?(?:能|可以|该|应该)" + 介词 + 做, "sentence"),
    # 我不具备画图的能力, 我没有权限, 我没有足够的信息, 我不支持播放音乐
    Family(
        "没有能力",
        开头 + 我 + 副词 + r"(?:(?:不具备|没有)[^,。!?]{0,12}(?:能力|功能|权限|权利|资格)|没有足够的?(?:信息|资料)|不支持)",
    ),
    # 规定不允许我, 这违反了我的准则
    Family("规定", r"(?:规定|准则|政策|原则|规则|设定)[^,。!?]{0,4}(?:不允许|禁止|不许|不让)", "sentence"),
    Family("规定", r"(?:违反|违背)了?我们?的?[^,。!?]{0,6}(?:准则|规定|政策|原则|规则)", "sentence"),
    # 我只能谈烹饪
    Family("只能", 开头 + 我 + r"只能" + 介词 + r"(?:谈|讨论|回答|提供|解答|协助)"),
    # 我们换个话题吧, 请换个问题, 咱们聊点别的吧
    Family("换话题", 开头 + r"(?:我们|咱们|请)(?:还是)?(?:换一?个(?:话题|问题)(?!的|句)|聊[点些](?:别的|其他))"),
    # 我还是保持沉默, 我得跳过这个问题
    Family("跳过", 开头 + 我 + r"[^,。!?]{0,6}?(?:保持沉默|跳过)"),
    # 这次我只能先放一放, 我只好略过不谈
    Family("跳过", 开头 + 我 + r"(?:也|就|只能|只好|得|先|还是|暂且){1,4}(?:放一放|搁置|略过|打住|作罢|不说了?|不谈了?|不答了?)"),
    # 还是请别人来回答吧, 最好去问懂的人: all that the first sentence says
    Family(
        "问别人",
        r"(?:[^。!?]{0,30}[,:]|[^。!?]{0,30}(?:但是?|不过|可是))?(?:还是|最好|不如|要不|您?你?可以)(?:去)?(?:请|让|找|问问?|交给|留给|咨询)"
        r"(?:别人|他人|其他人|旁人|懂|专家|专业人士|专业的人|内行|行家)[^。!?]*",
        "first",
    ),
    # 不行。 恐怕不行。
    Family("不行", r"(?:这个?|那个?)?(?:恐怕)?(?:不行|不可以)", "whole"),
)

FAMILIES = (*ENGLISH, *CHINESE)

# What follows a clause that would refuse and shows that the answer comes all the same: "I can't see your screen,
# but in most cases ..."; not "but I can suggest", "but you could ask", which offer something else instead.
ANSWERS_ALL_THE_SAME = (
    r"[^.!?。,;]{0,80}[,;]? ?(?:as of\b|(?:but|yet|however|still)\b(?! (?:i|we|you|feel|please|perhaps|maybe|let|if|"
    r"thank|there (?:are|is)|unfortunately|my|that|this)\b)|(?:但是?|不过|可是)(?!我|您|你|请|建议|如果|欢迎|很抱歉|抱歉|这))"
)
# An opening that begins so is an answer, whatever its first sentence goes on to say: "Sure! Here is ...".
# "Sure, but", "sure, I see why you ask, but" are not the end of it.
ANSWER_OPENERS = (
    r"(?:(?:sure|of course|certainly|absolutely|yes|gladly|happily|no problem)(?! not)(?![^.!?]{0,60}\b(?:but|though|"
    r"however)\b)|here (?:is|are|you go)\b|(?:当然|好的|没问题|可以)(?![^。!?]{0,20}(?:但|不过|可是)))"
)
APOLOGY = r"\b(?:sorry|afraid|apolog|unfortunately|regret)|抱歉|对不起|遗憾|不好意思|恐怕|恕"
