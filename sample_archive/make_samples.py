"""Make the sample materials: an invented company's filings, as such companies keep them.

Needs ``pip install archiver[samples]`` and a CJK TrueType font (Debian:
fonts-wqy-microhei, Apache-2.0, which may be embedded):

    python sample_archive/make_samples.py /usr/share/fonts/truetype/wqy/wqy-microhei.ttc
"""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

from docx import Document
from docx.oxml.ns import qn
from openpyxl import Workbook
from openpyxl.styles import Font
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

HERE = Path(__file__).parent
COMPANY = "星河听雨科技有限公司"
RECOMMENDER = "星河听雨个性化推荐算法"
WRITER = "星河听雨文案生成算法"

COMMITMENT = [
    f"{COMPANY}（以下简称“本单位”）就所提供的互联网信息服务算法备案事项，郑重承诺如下：",
    "一、本单位提交的备案材料真实、准确、完整，不存在虚假记载、误导性陈述或者重大遗漏。",
    "二、本单位已建立健全算法机制机理审核、科技伦理审查、用户注册、信息发布审核、数据安全和个人信息保护、安全评估监测等管理制度和技术措施。",
    "三、本单位不利用算法推荐服务从事危害国家安全和社会公共利益、扰乱经济秩序和社会秩序、侵犯他人合法权益等法律、行政法规禁止的活动。",
    "四、备案信息发生变更的，本单位将在变更之日起十个工作日内办理变更手续；终止服务的，将在终止服务之日起二十个工作日内办理注销手续。",
    "五、本单位完整保存备案过程中的全部材料及其各个版本，以备监督检查。",
]

DUTIES = [
    (
        "算法安全责任人",
        "本单位设算法安全责任人一名，由首席技术官担任，统筹算法安全管理工作，直接向法定代表人报告。",
    ),
    (
        "算法安全专职机构",
        "设算法安全工作组，成员六人，涵盖算法、数据、法务、内容安全与客户服务岗位，每月召开例会并形成纪要。",
    ),
    (
        "算法机制机理审核制度",
        "模型上线前须经设计评审、数据评审和伦理评审三道程序，评审记录由档案管理员归档，未通过评审的版本不得发布。",
    ),
    (
        "安全事件应急处置制度",
        "发现算法安全事件后，值班人员应在十五分钟内上报，一小时内完成初步处置，必要时关闭推荐通道并切换为时间序展示。",
    ),
    (
        "用户权益保障制度",
        "在应用显著位置提供关闭个性化推荐的选项，并提供删除用户标签的功能；用户投诉在三个工作日内答复。",
    ),
    (
        "违法违规处置制度",
        "建立特征库与人工复核相结合的内容审核机制，对违法和不良信息及时停止传输、采取消除措施并保存有关记录。",
    ),
]

CHAPTERS = [
    ("算法基本情况", ["服务对象与应用场景", "算法类型与备案类目", "上线时间与版本沿革"]),
    ("算法机制机理", ["召回阶段", "粗排与精排", "重排与多样性控制", "冷启动策略"]),
    ("数据来源与处理", ["训练数据构成", "个人信息处理规则", "数据标注与质量控制"]),
    ("模型训练与迭代", ["训练流程", "离线评估指标", "在线实验与发布"]),
    ("风险识别", ["信息内容风险", "算法歧视与诱导沉迷", "数据泄露与滥用", "对未成年人和老年人的影响"]),
    ("风险防控措施", ["内容安全审核", "公平性约束", "人工干预机制", "日志留存与审计"]),
    ("用户权益保护", ["算法说明与告知", "关闭选项与标签管理", "投诉与申诉渠道"]),
    ("应急处置与持续监测", ["监测指标", "应急预案与演练", "定期复评"]),
]

SENTENCES = [
    "{section}由{team}负责，相关文档在版本库中登记，编号与发布单一一对应。",
    "围绕{section}，本单位在评估周期内抽取样本{n}条进行人工复核，一致率为{p}%，不一致样本均已逐条分析原因。",
    "对于{section}中涉及的个人信息，仅在实现处理目的所必要的最小范围内使用，并在{d}日后自动删除或者匿名化。",
    "经评估，{section}的残余风险等级为{level}，控制措施的责任岗位和完成时限见附表。",
    "当监测指标偏离基线超过{q}%时，系统自动告警，由值班工程师确认后启动降级，{section}的降级方案每季度演练一次。",
    "本次评估同时核对了{section}的设计文档、训练日志和线上配置，三者记载的参数一致，未发现擅自修改的情况。",
    "用户可以在设置页面查看与{section}有关的说明，并可随时提出异议；客服人员按照话术与工单流程在规定时限内答复。",
    "{team}对{section}进行了红队测试，共设计用例{n}个，发现问题{k}项，均已整改并通过回归验证。",
]
TEAMS = ["算法平台组", "数据治理组", "内容安全组", "法务合规组", "质量保障组"]


def main(font: str) -> None:
    pdfmetrics.registerFont(TTFont("CJK", font, subfontIndex=0))
    materials = HERE / "materials"
    first = materials / RECOMMENDER / "2026-03-首次备案"
    correction = materials / RECOMMENDER / "2026-04-补正"
    change = materials / RECOMMENDER / "2026-09-变更"
    writer = materials / WRITER / "2026-05-首次备案"
    for folder in (first, correction, change, writer):
        folder.mkdir(parents=True, exist_ok=True)
    subject_files(first, font, RECOMMENDER, seed=1)
    licence(first / "营业执照扫描件.jpg", font)
    report(first, RECOMMENDER, "1.0", seed=11, extra=[])
    publication(first / "拟公示内容.pdf", RECOMMENDER, "基于用户点击、收藏和停留时长预测兴趣，对资讯进行排序。")
    data_sources(first / "数据来源清单.xlsx", 18)
    notice(correction / "补正通知.pdf")
    report(correction, RECOMMENDER, "1.1", seed=12, extra=["补充说明", "用户标签的生成与删除"])
    receipt(correction / "系统回执.pdf", RECOMMENDER, "2026-04-17 15:20", "补正材料")
    publication(change / "拟公示内容.pdf", RECOMMENDER, "新增短视频推荐场景，排序模型由双塔模型改为多任务模型。")
    data_sources(change / "数据来源清单.xlsx", 24)
    receipt(change / "系统回执.pdf", RECOMMENDER, "2026-09-22 10:05", "变更材料")
    subject_files(writer, font, WRITER, seed=2)
    publication(writer / "拟公示内容.pdf", WRITER, "根据用户输入的要点生成营销文案，并对输出内容进行安全过滤。")
    receipt(writer / "系统回执.pdf", WRITER, "2026-05-11 09:41", "首次备案材料")


def subject_files(folder: Path, font: str, algorithm: str, seed: int) -> None:
    word(folder / "算法备案承诺书.docx", "算法备案承诺书", COMMITMENT)
    scan(folder / "算法备案承诺书（盖章扫描）.pdf", font, "算法备案承诺书", COMMITMENT, seed)
    paragraphs = [f"{title}:{text}" for title, text in DUTIES]
    title = "落实算法安全主体责任基本情况"
    word(folder / f"{title}.docx", title, [f"算法名称：{algorithm}", *paragraphs])
    scan(folder / f"{title}（盖章扫描）.pdf", font, title, paragraphs, seed + 50)


def word(path: Path, title: str, paragraphs: list[str]) -> None:
    document = Document()
    style = document.styles["Normal"]
    style.font.name = "宋体"
    style.element.rPr.rFonts.set(qn("w:eastAsia"), "宋体")
    document.add_heading(title, level=0)
    for text in paragraphs:
        document.add_paragraph(text)
    document.add_paragraph(f"{COMPANY}\n2026年3月2日")
    document.core_properties.author = COMPANY
    document.core_properties.title = title
    document.save(str(path))


def scan(path: Path, font: str, title: str, paragraphs: list[str], seed: int) -> None:
    """A sealed page as it comes from a scanner: a PDF that holds an image only."""
    page = Image.new("RGB", (1240, 1754), (250, 249, 244))
    draw = ImageDraw.Draw(page)
    draw.text((620, 150), title, fill=(25, 25, 25), font=ImageFont.truetype(font, 52), anchor="mm")
    body = ImageFont.truetype(font, 30)
    y = 270
    for text in paragraphs:
        for start in range(0, len(text), 33):
            draw.text((120, y), text[start : start + 33], fill=(35, 35, 35), font=body)
            y += 52
        y += 18
    draw.text((760, y + 60), COMPANY, fill=(35, 35, 35), font=body)
    seal(draw, (910, y + 90), font)
    page = page.rotate(random.Random(seed).uniform(-0.7, 0.7), fillcolor=(250, 249, 244), resample=Image.BICUBIC)
    page = page.filter(ImageFilter.GaussianBlur(0.6))
    data = io.BytesIO()
    page.save(data, "JPEG", quality=55)
    canvas = Canvas(str(path), pagesize=A4, invariant=True)
    image = ImageReader(io.BytesIO(data.getvalue()))
    canvas.drawImage(image, 0, 0, A4[0], A4[1])
    canvas.save()


def seal(draw: ImageDraw.ImageDraw, centre: tuple[int, int], font: str) -> None:
    x, y = centre
    red = (196, 30, 35)
    draw.ellipse((x - 140, y - 140, x + 140, y + 140), outline=red, width=7)
    draw.text((x, y - 60), COMPANY[:6], fill=red, font=ImageFont.truetype(font, 34), anchor="mm")
    draw.text((x, y), "★", fill=red, font=ImageFont.truetype(font, 60), anchor="mm")
    draw.text((x, y + 70), "样例专用章", fill=red, font=ImageFont.truetype(font, 30), anchor="mm")


def licence(path: Path, font: str) -> None:
    page = Image.new("RGB", (1600, 1130), (247, 244, 232))
    draw = ImageDraw.Draw(page)
    draw.rectangle((40, 40, 1560, 1090), outline=(160, 120, 40), width=8)
    draw.text((800, 150), "营业执照（样例）", fill=(60, 40, 10), font=ImageFont.truetype(font, 72), anchor="mm")
    lines = [
        "统一社会信用代码  91000000SAMPLE0001",
        f"名    称  {COMPANY}",
        "类    型  有限责任公司",
        "法定代表人  林听雨",
        "经营范围  互联网信息服务；软件开发；数据处理服务。",
        "成立日期  2021年06月18日",
    ]
    for number, text in enumerate(lines):
        draw.text((180, 300 + number * 90), text, fill=(40, 35, 30), font=ImageFont.truetype(font, 40))
    seal(draw, (1280, 860), font)
    page.filter(ImageFilter.GaussianBlur(0.5)).save(path, "JPEG", quality=70)


def styles() -> tuple[ParagraphStyle, ParagraphStyle, ParagraphStyle]:
    body = ParagraphStyle("body", fontName="CJK", fontSize=11.5, leading=21, firstLineIndent=23, wordWrap="CJK")
    head = ParagraphStyle("head", parent=body, fontSize=16, leading=28, firstLineIndent=0, spaceBefore=12)
    title = ParagraphStyle("title", parent=body, fontSize=24, leading=40, alignment=1, firstLineIndent=0)
    return body, head, title


def pdf(path: Path, title: str, story: list[object]) -> None:
    document = SimpleDocTemplate(
        str(path), pagesize=A4, margins=25 * mm, title=title, author=COMPANY, invariant=True
    )

    def number(canvas: Canvas, _: object) -> None:
        canvas.setFont("CJK", 9)
        canvas.drawCentredString(A4[0] / 2, 12 * mm, f"第 {canvas.getPageNumber()} 页")

    document.build(story, onFirstPage=number, onLaterPages=number)


def report(folder: Path, algorithm: str, version: str, seed: int, extra: list[str]) -> None:
    """The self-assessment report, as docx and as a PDF of more than twenty pages."""
    chance = random.Random(seed)
    chapters = CHAPTERS + ([(extra[0], extra[1:])] if extra else [])
    body, head, title = styles()
    name = "算法安全自评估报告"
    story: list[object] = [
        Spacer(1, 70 * mm),
        Paragraph(name, title),
        Paragraph(f"{algorithm} 版本 {version}", title),
    ]
    story += [Spacer(1, 20 * mm), Paragraph(COMPANY, title), PageBreak()]
    document = Document()
    document.styles["Normal"].element.get_or_add_rPr()
    document.add_heading(f"{name} {version}", level=0)
    for number, (chapter, sections) in enumerate(chapters, 1):
        story.append(Paragraph(f"第{number}章 {chapter}", title))
        document.add_heading(f"第{number}章 {chapter}", level=1)
        for section in sections:
            story.append(Paragraph(section, head))
            document.add_heading(section, level=2)
            for _ in range(4):
                text = "".join(sentence(chance, section) for _ in range(5))
                story.append(Paragraph(text, body))
                document.add_paragraph(text)
            story.append(risk_table(chance))
        story.append(PageBreak())
    pdf(folder / f"{name}.pdf", name, story)
    document.core_properties.author = COMPANY
    document.core_properties.revision = 2 if extra else 1
    document.save(str(folder / f"{name}.docx"))


def sentence(chance: random.Random, section: str) -> str:
    return chance.choice(SENTENCES).format(
        section=section,
        team=chance.choice(TEAMS),
        n=chance.randrange(200, 5000, 10),
        p=round(chance.uniform(96, 99.9), 1),
        d=chance.choice([30, 60, 90, 180]),
        level=chance.choice(["低", "较低", "中"]),
        q=chance.choice([3, 5, 10]),
        k=chance.randrange(1, 9),
    )


def risk_table(chance: random.Random) -> Table:
    rows = [["编号", "控制措施", "责任岗位", "完成情况"]]
    for _ in range(4):
        rows.append(
            [
                f"KZ-{chance.randrange(100, 999)}",
                chance.choice(["抽样复核", "阈值告警", "权限收敛", "日志留存", "对抗测试"]),
                chance.choice(TEAMS),
                chance.choice(["已完成", "持续进行"]),
            ]
        )
    table = Table(rows, colWidths=[30 * mm, 45 * mm, 45 * mm, 35 * mm])
    table.setStyle(TableStyle([("FONT", (0, 0), (-1, -1), "CJK", 10), ("GRID", (0, 0), (-1, -1), 0.4, "#888888")]))
    return table


def publication(path: Path, algorithm: str, mechanism: str) -> None:
    body, head, title = styles()
    story: list[object] = [Paragraph("拟公示内容", title)]
    for name, text in [
        ("算法名称", algorithm),
        ("算法基本原理", mechanism),
        ("算法运行机制", "系统先从内容库召回候选，再经模型排序与安全过滤后展示；用户可随时关闭个性化推荐。"),
        ("算法应用场景", "资讯与短视频信息流，面向年满十四周岁的注册用户。"),
        ("算法目的意图", "帮助用户更快找到感兴趣且有价值的内容，同时保持内容的多样性。"),
    ]:
        story += [Paragraph(name, head), Paragraph(text, body)]
    pdf(path, "拟公示内容", story)


def notice(path: Path) -> None:
    body, _, title = styles()
    lines = [
        f"{COMPANY}：",
        f"你单位于2026年3月20日提交的“{RECOMMENDER}”备案材料收悉。经审查，现需补正以下内容：",
        "一、《算法安全自评估报告》未说明用户标签的生成与删除规则，请补充。",
        "二、《算法安全自评估报告》第五章对未成年人的影响分析不充分，请完善。",
        "请于2026年4月20日前通过备案系统提交补正材料。逾期未提交的，视为撤回备案申请。",
        "（样例文件，非真实公文）",
    ]
    pdf(path, "补正通知", [Paragraph("补正通知", title), *[Paragraph(text, body) for text in lines]])


def receipt(path: Path, algorithm: str, at: str, what: str) -> None:
    body, _, title = styles()
    lines = [
        f"申请主体：{COMPANY}",
        f"算法名称：{algorithm}",
        f"提交内容：{what}",
        f"提交时间：{at}",
        "状态：已提交，等待审核",
    ]
    pdf(path, "系统回执", [Paragraph("提交回执（样例）", title), *[Paragraph(text, body) for text in lines]])


def data_sources(path: Path, rows: int) -> None:
    chance = random.Random(rows)
    book = Workbook()
    sheet = book.active
    sheet.title = "数据来源"
    sheet.append(["序号", "数据名称", "来源", "规模（万条）", "是否含个人信息", "授权方式"])
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    for number in range(1, rows + 1):
        sheet.append(
            [
                number,
                chance.choice(["点击日志", "收藏记录", "内容标签", "搜索词", "人工标注样本"]) + f"-{number:02d}",
                chance.choice(["自有业务", "合作采购", "公开数据"]),
                chance.randrange(5, 900),
                chance.choice(["是", "否"]),
                chance.choice(["用户协议", "采购合同", "公开许可"]),
            ]
        )
    for column, width in zip("ABCDEF", (6, 20, 14, 14, 18, 14), strict=True):
        sheet.column_dimensions[column].width = width
    book.save(path)


if __name__ == "__main__":
    main(sys.argv[1])
