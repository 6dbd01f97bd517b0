@echo off
chcp 65001 >nul
cd /d "%~dp0"
where py >nul 2>nul && (py -3 -I -S verify.py --lang zh) || (python -I -S verify.py --lang zh)
pause
